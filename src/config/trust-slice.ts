// SPDX-License-Identifier: Apache-2.0
import type { CaConfig, CaSecurity, TlsPolicy } from "../ca/ca-config.ts";
import type { IdentitySource } from "./agent-config.ts";
import { parseMode } from "./environment.ts";
import { parseHostPort } from "./host-port.ts";
import { type Sources, places } from "./sources.ts";

export type Roots = { readonly kind: "system" } | { readonly kind: "file"; readonly path: string };

/** Whether certificates come from files that something else keeps fresh. */
export function identitySource({ env, proxy, findings }: Sources): IdentitySource {
  if (env.string("CA_PROVIDER") === "GkeWorkloadCertificate") {
    const directory = "./var/run/secrets/workload-spiffe-credentials";
    return {
      kind: "mounted-files",
      chainPath: `${directory}/certificates.pem`,
      keyPath: `${directory}/private_key.pem`,
      rootsPath: `${directory}/ca_certificates.pem`,
    };
  }
  if (!env.bool("FILE_MOUNTED_CERTS")) return { kind: "ca" };
  if (env.string("PROV_CERT") !== "") {
    findings.problem(
      "FILE_MOUNTED_CERTS",
      "invalid options: PROV_CERT and FILE_MOUNTED_CERTS are mutually exclusive; unset one",
    );
  }
  const meta = proxy.proxyMetadata ?? {};
  const path = (name: string): string => meta[`ISTIO_META_TLS_CLIENT_${name}`] ?? "";
  return { kind: "mounted-files", chainPath: path("CERT_CHAIN"), keyPath: path("KEY"), rootsPath: path("ROOT_CERT") };
}

/** Where certificates are signed. */
export function caConfig(sources: Sources, identity: IdentitySource): CaConfig {
  const { env, proxy, findings } = sources;
  const given = env.string("CA_ADDR");
  const text = given === "" ? proxy.discoveryAddress : given;
  const address = parseHostPort(text);
  if (typeof address === "string" && given !== "") findings.problem("CA_ADDR", `invalid CA address: ${address}`);
  const { host, port } = typeof address === "string" ? { host: "", port: 0 } : address;
  if (identity.kind === "ca") checkCaProvider(sources, text);
  return {
    kind: "istio",
    host,
    port,
    security: caSecurity(sources, { host, port, given: given !== "", used: identity.kind === "ca" }),
    tokenPath: tokenPath(sources),
    clusterId: env.string("ISTIO_META_CLUSTER_ID"),
    certSigner: env.string("ISTIO_META_CERT_SIGNER"),
    headers: headersOf(env.all, "CA_HEADER_"),
    timeoutPerTryMs: positive(sources, "ATTACHE_CA_TIMEOUT"),
    keepalive: keepaliveOf(sources),
  };
}

function checkCaProvider({ env, findings }: Sources, address: string): void {
  const provider = env.string("CA_PROVIDER");
  if (address.includes("googleapis.com")) {
    findings.problem(
      "CA_ADDR",
      `${address}: Google's CA service is not supported; give the address of istiod or another CA of Istio's API`,
    );
  } else if (provider !== "Citadel" && provider !== "") {
    findings.problem(
      "CA_PROVIDER",
      `CA provider ${JSON.stringify(provider)} not registered; use Citadel or GkeWorkloadCertificate`,
    );
  }
}

interface CaPeer {
  readonly host: string;
  readonly port: number;
  readonly given: boolean;
  readonly used: boolean;
}

function caSecurity(sources: Sources, { host, port, given, used }: CaPeer): CaSecurity {
  const { env } = sources;
  if (port === 15_010) {
    sources.findings.warn("CA_ADDR", "the CA on port 15010 is asked over an unencrypted connection, with the token");
    return { kind: "plaintext" };
  }
  const san = given ? "" : env.string("ISTIOD_SAN");
  return {
    kind: "tls",
    serverName: env.string("ATTACHE_CA_SERVER_NAME") || san || serverNameOf(host),
    roots: used ? caRoots(sources) : { kind: "system" },
    client: clientCertificate(sources),
    policy: compliancePolicy(sources),
  };
}

export function serverNameOf(host: string): string {
  return host.includes("localhost") ? "istiod.istio-system.svc" : host;
}

export function clientCertificate({
  env,
}: Sources): { readonly chainPath: string; readonly keyPath: string } | undefined {
  const directory = env.string("PROV_CERT");
  return directory === "" ? undefined : { chainPath: `${directory}/cert-chain.pem`, keyPath: `${directory}/key.pem` };
}

/** Source: the order in which Istio's agent looks for the CA's root */
function caRoots(sources: Sources): Roots {
  const { env, findings } = sources;
  const given = env.string("CA_ROOT_CA");
  if (given === "SYSTEM") return { kind: "system" };
  if (given !== "") return existing(sources, "CA", "CA_ROOT_CA", given);
  const provider = env.string("PILOT_CERT_PROVIDER");
  if (provider === "custom") return existing(sources, "CA", "PILOT_CERT_PROVIDER", places.certificatesRoot);
  const provisioned = env.string("PROV_CERT");
  if (provisioned !== "") return existing(sources, "CA", "PROV_CERT", `${provisioned}/root-cert.pem`);
  if (provider === "none") {
    findings.problem(
      "PILOT_CERT_PROVIDER",
      "there is no root certificate for the CA with the provider none; set CA_ROOT_CA",
    );
  }
  return existing(sources, "CA", "CA_ROOT_CA", places.root);
}

export function existing({ input, findings }: Sources, peer: "CA" | "XDS", variable: string, path: string): Roots {
  if (path === "" || input.readFile(path).kind !== "text") {
    const shown = path.replace(/^\.\//, "");
    findings.problem(
      variable,
      `root CA file for ${peer} does not exist ${shown}; mount it there or name another one in ${peer}_ROOT_CA`,
    );
  }
  return { kind: "file", path };
}

export function tokenPath({ env, findings }: Sources): string | undefined {
  const kind = env.string("CREDENTIAL_FETCHER_TYPE");
  if (!["JWT", "GoogleComputeEngine", "Mock", ""].includes(kind)) {
    findings.problem("CREDENTIAL_FETCHER_TYPE", `invalid credential fetcher type ${kind}; use JWT or leave it unset`);
  }
  return places.token;
}

/** 0600 when agent and Envoy share a user; for a reader with another user 0666, in a directory that only root opens. */
export function socketMode({ env, findings, input }: Sources): number {
  const text = env.string("ATTACHE_SDS_SOCKET_MODE");
  const mode = parseMode(text);
  if (mode !== undefined) return mode;
  if (text !== "") findings.problem("ATTACHE_SDS_SOCKET_MODE", `${JSON.stringify(text)} is not a mode such as 0600`);
  return envoyUser(env.string("DNS_PROXY_ADDR"), input.system.uid) === undefined ? 0o600 : 0o666;
}

/** Only port 53 needs root for the agent, and Envoy then runs as the proxy's usual user. */
export function envoyUser(dnsAddress: string, uid: number): { readonly uid: number; readonly gid: number } | undefined {
  return uid === 0 && dnsAddress.endsWith(":53") ? { uid: 1337, gid: 1337 } : undefined;
}

export function compliancePolicy({ env, findings }: Sources): TlsPolicy {
  const text = env.string("COMPLIANCE_POLICY");
  if (text === "fips-140-2" || text === "fips-140-3" || text === "pqc") return text;
  if (text !== "") findings.warn("COMPLIANCE_POLICY", `unknown policy ${JSON.stringify(text)}; it is ignored`);
  return "default";
}

export function headersOf(env: Readonly<Record<string, string>>, prefix: string): Readonly<Record<string, string>> {
  const entries = Object.entries(env).filter(([name]) => name.startsWith(prefix) && name !== prefix);
  return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]));
}

export function keepaliveOf({ env }: Sources): { readonly intervalMs: number; readonly timeoutMs: number } {
  return { intervalMs: env.durationMs("GRPC_KEEPALIVE_INTERVAL"), timeoutMs: env.durationMs("GRPC_KEEPALIVE_TIMEOUT") };
}

function positive({ env, findings }: Sources, name: "ATTACHE_CA_TIMEOUT"): number {
  const ms = env.durationMs(name);
  if (ms <= 0) findings.problem(name, "must be above 0");
  return ms;
}
