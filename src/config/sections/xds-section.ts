// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import type { HostPort } from "../../lib/net/host-port.ts";
import type { HttpProxyAddress, XdsCacheConfig, XdsConfig, XdsSecurity } from "../../xds/xds-config.ts";
import type { DiscoverySource } from "../agent-config.ts";
import { cloudToken } from "./ca-section.ts";
import { wasmConfig } from "./wasm-section.ts";
import { healthCheckConfig } from "./health-section.ts";
import { parseServiceAddress } from "../proxy-config/proxy-config.ts";
import { type Sources, places } from "../sources/sources.ts";
import {
  type Roots,
  clientCertificate,
  compliancePolicy,
  existing,
  headersOf,
  keepaliveOf,
  serverNameOf,
  socketMode,
  tokenPath,
} from "./trust-section.ts";
import { trimTrailing } from "../../lib/trim.ts";

/** Where Envoy's listeners and clusters come from. */
export function discoverySource(sources: Sources): DiscoverySource {
  const { env, role } = sources;
  const directory = env.string("ATTACHE_XDS_FILES");
  if (directory !== "") return filesSource(trimTrailing(directory, "/") || "/", sources);
  const proxy = xdsConfig(sources);
  return {
    kind: "ads",
    proxy,
    cloudToken: proxy.upstream.security.kind === "tls" ? cloudToken(sources) : undefined,
    delta: env.bool("ISTIO_DELTA_XDS") || role === "waypoint",
    wasm: wasmConfig(sources),
    healthCheck: healthCheckConfig(sources),
    proxyConfigOverXds: env.bool("PROXY_CONFIG_XDS_AGENT"),
  };
}

/** Envoy exits at once where its bootstrap names a file that is missing. */
function filesSource(directory: string, { env, input, findings, proxy }: Sources): DiscoverySource {
  const isRead = !env.bool("DISABLE_ENVOY") && (proxy.customConfigFile ?? "") === "";
  const missing = ["lds.yaml", "cds.yaml"].filter((name) => input.readFile(`${directory}/${name}`).kind === "absent");
  if (isRead && missing.length > 0) {
    const files = missing.map((name) => `${directory}/${name}`).join(" and no ");
    const problem = `there is no ${files}; create it (\`resources: []\` for none), or name the directory that has it`;
    findings.problem("ATTACHE_XDS_FILES", problem);
  }
  return { kind: "files", directory };
}

/** Short delays while an outage is recent, so that Envoy is current soon after it. */
const backoff = { firstMs: 100, factor: 2, maxMs: 1_500, idleMaxMs: 15_000 };

/** For name lookup, TCP, TLS and HTTP/2 of one address. */
const connectTimeoutMs = 4_000;

function xdsConfig(sources: Sources): XdsConfig {
  const { env, proxy } = sources;
  const addresses = xdsAddresses(proxy.discoveryAddress, env.string("HOST_IP"));
  const [first] = addresses;
  const security = xdsSecurity(sources, first?.host ?? "");
  return {
    socketPath: `${proxy.configPath}/XDS`,
    socketMode: xdsSocketMode(sources),
    upstream: {
      addresses,
      security,
      authority: security.kind === "tls" ? security.serverName : serverNameOf(first?.host ?? ""),
      tokenPath: cloudToken(sources) === undefined ? tokenPath(sources) : undefined,
      clusterId: env.string("ISTIO_META_CLUSTER_ID"),
      headers: headersOf(env.all, "XDS_HEADER_"),
      httpProxy: first === undefined ? undefined : httpProxy(sources, first),
      connectTimeoutMs,
      backoff,
    },
    maxReceiveBytes: maxReceiveBytes(env),
    maxStreams: env.int(env.isSet("ISTIO_GRPC_MAXSTREAMS") ? "ISTIO_GRPC_MAXSTREAMS" : "ISTIO_GPRC_MAXSTREAMS"),
    keepalive: keepaliveOf(sources),
    cache: xdsCache(sources),
  };
}

/** Undefined where it is not set: then it follows from the memory of the container. */
function maxReceiveBytes(env: Sources["env"]): number | undefined {
  const name = (["ISTIO_GRPC_MAXRECVMSGSIZE", "ISTIO_GPRC_MAXRECVMSGSIZE"] as const).find((each) => env.isSet(each));
  return name === undefined ? undefined : env.int(name);
}

/** Without Envoy, applications connect to the socket, and they may run as any user. */
function xdsSocketMode(sources: Sources): number {
  const { env, findings } = sources;
  const mode = socketMode(sources);
  if (!env.bool("DISABLE_ENVOY") || env.string("ATTACHE_SDS_SOCKET_MODE") !== "") return mode;
  findings.warn("DISABLE_ENVOY", "every user may connect to the xDS socket; restrict it with ATTACHE_SDS_SOCKET_MODE");
  return 0o666;
}

/** One address, or several separated by commas. */
function xdsAddresses(text: string, hostIp: string): readonly HostPort[] {
  return text.split(",").flatMap((item) => {
    const address = parseServiceAddress(item.trim(), hostIp);
    return typeof address === "string" ? [] : [address];
  });
}

function xdsSecurity(sources: Sources, host: string): XdsSecurity {
  if (sources.proxy.controlPlaneAuthPolicy === "NONE") return { kind: "plaintext" };
  return {
    kind: "tls",
    serverName: sources.env.string("ISTIOD_SAN") || serverNameOf(host),
    roots: xdsRoots(sources),
    client: clientCertificate(sources) ?? mountedCertificate(sources),
    policy: compliancePolicy(sources),
  };
}

/** Only the paths in proxyMetadata count, not the process's variables of these names. */
function mountedCertificate({ env, proxy }: Sources): ReturnType<typeof clientCertificate> {
  const chainPath = proxy.proxyMetadata?.["ISTIO_META_TLS_CLIENT_CERT_CHAIN"] ?? "";
  const keyPath = proxy.proxyMetadata?.["ISTIO_META_TLS_CLIENT_KEY"] ?? "";
  return env.bool("FILE_MOUNTED_CERTS") && chainPath !== "" && keyPath !== "" ? { chainPath, keyPath } : undefined;
}

/** Source: the order in which Istio's agent looks for the control plane's root */
function xdsRoots(sources: Sources): Roots {
  const { env, input, findings, proxy } = sources;
  const given = env.string("XDS_ROOT_CA");
  if (given === "SYSTEM") return { kind: "system" };
  if (given !== "") return existing(sources, "XDS", "XDS_ROOT_CA", given);
  if (input.readFile(places.certificatesRoot).kind !== "absent") return { kind: "file", path: places.certificatesRoot };
  const provisioned = env.string("PROV_CERT");
  if (provisioned !== "") return { kind: "file", path: `${provisioned}/root-cert.pem` };
  if (env.bool("FILE_MOUNTED_CERTS")) {
    const path = proxy.proxyMetadata?.["ISTIO_META_TLS_CLIENT_ROOT_CERT"] ?? "";
    return existing(sources, "XDS", `${sources.fieldSource("proxyMetadata")}.ISTIO_META_TLS_CLIENT_ROOT_CERT`, path);
  }
  if (env.string("PILOT_CERT_PROVIDER") === "none") {
    findings.problem("PILOT_CERT_PROVIDER", "none has no root certificate for the control plane; set XDS_ROOT_CA");
  }
  return existing(sources, "XDS", "XDS_ROOT_CA", places.root);
}

function xdsCache({ env, input }: Sources): XdsCacheConfig | undefined {
  const directory = env.string("ATTACHE_XDS_CACHE");
  if (directory === "") return undefined;
  return {
    directory: resolve(input.system.directory, directory),
    serveAfterMs: env.durationMs("ATTACHE_XDS_CACHE_AFTER"),
    maxAgeMs: env.durationMs("ATTACHE_XDS_CACHE_MAX_AGE"),
  };
}

/**
 * The HTTP proxy of the environment, unless NO_PROXY excludes the address. Source: the variables of Go's HTTP client
 */
function httpProxy({ env, findings }: Sources, address: HostPort): HttpProxyAddress | undefined {
  const text = env.all["HTTPS_PROXY"] ?? env.all["https_proxy"] ?? "";
  const exceptions = env.all["NO_PROXY"] ?? env.all["no_proxy"] ?? "";
  if (text === "" || isExcepted(address.host, exceptions)) return undefined;
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url === null || url.protocol !== "http:") {
    findings.warn("HTTPS_PROXY", "is not an http:// URL; the control plane is connected to directly");
    return undefined;
  }
  const login = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: Number(url.port === "" ? "80" : url.port),
    authorization: url.username === "" ? undefined : `Basic ${Buffer.from(login).toString("base64")}`,
  };
}

/** Whether NO_PROXY has `*`, the host, or a domain of it. Loopback addresses are always excluded. */
function isExcepted(host: string, exceptions: string): boolean {
  if (host === "localhost" || host === "::1" || host.startsWith("127.")) return true;
  return exceptions.split(",").some((item) => {
    const name = item
      .trim()
      .replace(/^\*?\./, "")
      .replace(/:\d+$/, "");
    return name === "*" || (name !== "" && (host === name || host.endsWith(`.${name}`)));
  });
}
