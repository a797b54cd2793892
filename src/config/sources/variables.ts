// SPDX-License-Identifier: Apache-2.0
import { ownVariables } from "./own-variables.ts";
import { type VariableSpec, type VariableType, dead, row } from "./variable-spec.ts";

/**
 * Every variable that the agent reads, in the order in which they are documented.
 * Source: Istio's reference of pilot-agent's environment; names starting with ATTACHE_ are this agent's own.
 */
export const variables = {
  PROXY_CONFIG: row("string", "", "ProxyConfig as YAML or JSON; overrides the mesh file"),
  POD_NAME: row("string", "", "name of the pod or machine, in the node ID and in metadata NAME"),
  POD_NAMESPACE: row("string", "", "namespace, in the node ID, the domain, the cluster name and the identity"),
  INSTANCE_IP: row("string", "", "IP address of the pod: first address of the node, and target of application probes"),
  SERVICE_ACCOUNT: row("string", "", "service account, in the identity and in metadata SERVICE_ACCOUNT"),
  HOST_IP: row(
    "string",
    "",
    "replaces $(HOST_IP) in the addresses of CA, control plane and services and in the bootstrap override",
  ),
  ISTIO_CPU_LIMIT: row(
    "int",
    "0",
    "number of Envoy's worker threads, if ProxyConfig does not set concurrency; 0 means not set",
    {
      unit: "CPUs",
    },
  ),
  ISTIO_META_CLUSTER_ID: row("string", "", "the cluster's name, sent to CA and control plane"),
  ISTIO_META_CERT_SIGNER: row("string", "", "signer that the CA must use"),
  ISTIO_META_DNS_CAPTURE: row("bool", "false", "turns the DNS proxy on, for sidecars"),
  ISTIO_META_ENABLE_DNS_SERVER: row("bool", "false", "turns the DNS proxy on, for every role"),
  CLOUD_PLATFORM: row("string", "", "aws, azure, gcp or none; empty to detect it"),
  GCP_METADATA: row("string", "", "PROJECT|NUMBER|CLUSTER|LOCATION, instead of a query to the metadata server"),
  GCP_QUOTA_PROJECT: row("string", "", "with GCP_METADATA: the quota project"),
  GCP_ZONE: row("string", "", "with GCP_METADATA: the zone"),
  GCE_METADATA_HOST: row("string", "169.254.169.254", "Google's metadata server", { source: "cloud" }),
  KUBERNETES_SERVICE_HOST: row(
    "string",
    "",
    "set by Kubernetes; other containers can then read the key in OUTPUT_CERTS",
    {
      source: "kubernetes",
    },
  ),
  KUBERNETES_SERVICE_PORT: row("int", "443", "port of Kubernetes' API", { source: "kubernetes", unit: "port" }),
  VAULT_ADDR: row("string", "", "https:// address of Vault", { source: "vault" }),
  VAULT_NAMESPACE: row("string", "", "Vault's namespace", { source: "vault" }),
  VAULT_CACERT: row("string", "", "file with Vault's root; empty for the system's roots", { source: "vault" }),
  SPIFFE_ENDPOINT_SOCKET: row("string", "", "unix:// or tcp:// address of the SPIFFE Workload API", {
    source: "spiffe",
  }),
  DNS_PROXY_ADDR: row(
    "string",
    "localhost:15053",
    "address of the DNS proxy; when set, also sent to the control plane",
  ),
  DNS_FORWARD_PARALLEL: row("bool", "false", "queries all upstream resolvers at once"),
  DNS_FORWARD_TIMEOUT: row("duration", "5s", "timeout of a forwarded DNS query"),
  ISTIO_BOOTSTRAP: row("string", "", "custom bootstrap template; not supported, except for the path of Istio's image"),
  ISTIO_BOOTSTRAP_OVERRIDE: row("string", "", "file, YAML or JSON, that is merged over the bootstrap"),
  ISTIO_ENVOY_ENABLE_CORE_DUMP: row("bool", "false", "starts Envoy with --enable-core-dump"),
  ENVOY_SKIP_DEPRECATED_LOGS: row("bool", "true", "starts Envoy with --skip-deprecated-logs"),
  ENVOY_STATUS_PORT: row("int", "15021", "Envoy's readiness listener", { unit: "port" }),
  ENVOY_PROMETHEUS_PORT: row("int", "15090", "Envoy's metrics listener", { unit: "port" }),
  ENVOY_SECURE_METRICS_PORT: row("int", "0", "Envoy's metrics over mutual TLS; 0 is off", { unit: "port" }),
  ENVOY_SECURE_MERGED_METRICS_PORT: row("int", "0", "merged metrics over mutual TLS; 0 is off", { unit: "port" }),
  ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL: row("bool", "false", "accepts the PROXY protocol on the readiness listener"),
  ISTIO_DUAL_STACK: row("bool", "false", "listens on both address families when the pod has both"),
  ISTIO_DELTA_XDS: row("bool", "true", "delta xDS between Envoy and the agent"),
  PEER_METADATA_DISCOVERY: row("string", "", "true or false; if not set, the value of ENABLE_HBONE in the metadata"),
  HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED: row("bool", "true", "false keeps the fragment in request paths"),
  COMPLIANCE_POLICY: row("string", "", "restricts TLS: fips-140-2, fips-140-3 or pqc"),
  DISABLE_ENVOY: row("bool", "false", "no bootstrap and no Envoy; for applications that use xDS themselves"),
  GRPC_XDS_BOOTSTRAP: row(
    "string",
    "etc/istio/proxy/grpc-bootstrap.json",
    "file for the bootstrap of gRPC applications; empty for none",
  ),
  WORKLOAD_IDENTITY_SOCKET_FILE: row(
    "string",
    "socket",
    "file name of the SDS socket under ./var/run/secrets/workload-spiffe-uds",
  ),
  EXIT_ON_ZERO_ACTIVE_CONNECTIONS: row(
    "bool",
    "false",
    "on SIGTERM, waits until no request is in flight and no TCP connection is open, one hour at most",
  ),
  MINIMUM_DRAIN_DURATION: row(
    "duration",
    "5s",
    "minimum duration of the drain at shutdown; one that is set can make the drain longer",
  ),
  CA_PROVIDER: row("string", "Citadel", "Citadel, or GkeWorkloadCertificate for mounted files"),
  CA_ADDR: row("string", "", "host:port of the CA; if empty, the address of the control plane"),
  CA_ROOT_CA: row("string", "", "file with the CA's root certificate; SYSTEM for the system's roots"),
  XDS_ROOT_CA: row("string", "", "file with the control plane's root certificate; SYSTEM for the system's roots"),
  PILOT_CERT_PROVIDER: row("string", "istiod", "which root certificate is used: istiod, custom, none or k8s.io/SIGNER"),
  ISTIOD_SAN: row("string", "", "server name of the control plane, and of the CA when CA_ADDR is empty"),
  TRUST_DOMAIN: row("string", "cluster.local", "trust domain of the identity"),
  JWT_POLICY: row("string", "third-party-jwt", "accepted for compatibility; the token file is always the same"),
  PROV_CERT: row(
    "string",
    "",
    "directory with cert-chain.pem, key.pem and root-cert.pem, for the first request to the CA",
  ),
  OUTPUT_CERTS: row("string", "", "directory to write key, chain and root to"),
  FILE_MOUNTED_CERTS: row("bool", "false", "uses mounted certificates instead of a CA"),
  SECRET_TTL: row("duration", "24h", "requested lifetime of the certificate"),
  SECRET_GRACE_PERIOD_RATIO: row("float", "0.5", "part of the lifetime that remains when the certificate is renewed", {
    unit: "0 to 1",
  }),
  SECRET_GRACE_PERIOD_RATIO_JITTER: row("float", "0.01", "random amount added to or subtracted from the ratio", {
    unit: "0 to 1",
  }),
  FILE_DEBOUNCE_DURATION: row("duration", "100ms", "first retry delay if mounted files cannot be parsed yet"),
  WORKLOAD_RSA_KEY_SIZE: row("int", "2048", "size of an RSA key; 2048 or more", { unit: "bits" }),
  PKCS8_KEY: row("bool", "false", "writes keys in PKCS#8 format"),
  ECC_SIGNATURE_ALGORITHM: row("string", "", "ECDSA for elliptic-curve keys; empty for RSA"),
  ECC_CURVE: row("string", "P256", "P256 or P384, with ECC_SIGNATURE_ALGORITHM=ECDSA"),
  CREDENTIAL_FETCHER_TYPE: row(
    "string",
    "JWT",
    "where the token comes from: JWT (the token file) or GoogleComputeEngine; Mock is the same as JWT",
  ),
  CREDENTIAL_IDENTITY_PROVIDER: dead("string", "GoogleComputeEngine", "not used"),
  XDS_AUTH_PROVIDER: dead("string", "", "not used"),
  GRPC_KEEPALIVE_INTERVAL: row(
    "duration",
    "30s",
    "time without received data after which CA or control plane is pinged (keepalive)",
  ),
  GRPC_KEEPALIVE_TIMEOUT: row("duration", "10s", "timeout of a keepalive ping; then the connection is closed"),
  ISTIO_GPRC_MAXRECVMSGSIZE: row(
    "int",
    "",
    "largest message accepted from Envoy; default: 4 to 16 MiB, by the memory limit",
    { unit: "bytes" },
  ),
  ISTIO_GPRC_MAXSTREAMS: row(
    "int",
    "100000",
    "maximum number of streams on one connection of the xDS socket; the limit xds-streams-of-connection is lower",
  ),
  ISTIO_GRPC_MAXRECVMSGSIZE: row("int", "", "other spelling of ISTIO_GPRC_MAXRECVMSGSIZE", {
    source: "attache",
    unit: "bytes",
  }),
  ISTIO_GRPC_MAXSTREAMS: row("int", "100000", "other spelling of ISTIO_GPRC_MAXSTREAMS", { source: "attache" }),
  PROXY_CONFIG_XDS_AGENT: row("bool", "false", "requests ProxyConfig from the control plane, for its trust roots"),
  PILOT_ENABLE_CA_CRL: row("bool", "true", "adds certificate revocation lists to the trust bundle"),
  TERMINATION_DRAIN_DURATION_SECONDS: dead(
    "int",
    "5",
    "used by older releases; set terminationDrainDuration in ProxyConfig",
  ),
  ENABLE_VTPROTOBUF: dead("bool", "true", "not used"),
  ISTIO_AGENT_ENABLE_WASM_REMOTE_LOAD_CONVERSION: row("bool", "true", "fetches Wasm modules for Envoy"),
  WASM_INSECURE_REGISTRIES: row(
    "string",
    "",
    "registries whose TLS certificate is not verified, comma separated; they get no pull secret",
  ),
  WASM_MODULE_EXPIRY: row("duration", "24h", "time after which an unused Wasm module is removed"),
  WASM_PURGE_INTERVAL: row("duration", "1h", "time between removals of unused Wasm modules"),
  WASM_HTTP_REQUEST_TIMEOUT: row("duration", "15s", "timeout of a Wasm download"),
  WASM_HTTP_REQUEST_MAX_RETRIES: row("int", "5", "maximum number of attempts of a Wasm download"),
  ISTIO_WASM_MAX_BINARY_SIZE_BYTES: row("int", "268435456", "largest Wasm module", { unit: "bytes" }),
  BLOCKED_CIDRS_IN_WASM_FETCH: row("string", "", "networks from which no Wasm module is fetched, comma separated"),
  PILOT_AGENT_MERGE_ENVOY_STATS: row("bool", "true", "includes Envoy's metrics in the merged scrape"),
  METRICS_LOCALHOST_ACCESS_ONLY: row(
    "bool",
    "false",
    "serves the metrics of agent and Envoy only on loopback; also a key of proxyMetadata",
  ),
  ISTIO_ENABLE_HTTP2_PROBING: row("bool", "true", "uses HTTP/2 for HTTPS probes"),
  ENABLE_PROBE_KEEPALIVE_CONNECTIONS: row("bool", "false", "reuses connections of application probes"),
  ENABLE_PROBE_KEEPALIVE_CONNECTION: row("bool", "false", "other spelling of ENABLE_PROBE_KEEPALIVE_CONNECTIONS", {
    source: "attache",
  }),
  REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION: row("bool", "false", "sends application probes to localhost"),
  ISTIO_KUBE_APP_PROBERS: row("string", "", "the application's probes, as JSON"),
  ISTIO_PROMETHEUS_ANNOTATIONS: row("string", "", "the application's metrics endpoints, as JSON; sidecars only"),
  GOMEMLIMIT: dead("string", "", "the limits follow the container's memory limit (limits.md)", "go"),
  AUTOMEMLIMIT: dead("string", "0.9", "the same", "go"),
  ...ownVariables,
} as const satisfies Readonly<Record<string, VariableSpec>>;

export type VariableName = keyof typeof variables;
export type VariableNameOf<T extends VariableType> = {
  [N in VariableName]: (typeof variables)[N]["type"] extends T ? N : never;
}[VariableName];

/** Groups of variables with a common prefix. */
export const variablePrefixes: readonly { readonly prefix: string; readonly meaning: string }[] = [
  { prefix: "ISTIO_META_", meaning: "one value of the node's metadata" },
  {
    prefix: "ISTIO_METAJSON_",
    meaning: "a JSON object whose members become metadata; those of ISTIO_METAJSON_LABELS also become labels",
  },
  { prefix: "XDS_HEADER_", meaning: "request header for the control plane" },
  { prefix: "CA_HEADER_", meaning: "request header for the CA" },
];
