// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, isJsonList, isJsonObject } from "../../lib/json.ts";
import { type HostPort, parseHostPort } from "../../lib/net/host-port.ts";
import { type FieldType, type MessageFields, proxyConfigFields } from "./schema.ts";

/** TLS of a connection that Envoy makes, as ProxyConfig has it. */
export interface TlsSettings {
  readonly mode?: "DISABLE" | "SIMPLE" | "MUTUAL" | "ISTIO_MUTUAL";
  readonly clientCertificate?: string;
  readonly privateKey?: string;
  readonly caCertificates?: string;
  readonly credentialName?: string;
  readonly insecureSkipVerify?: boolean;
  readonly subjectAltNames?: readonly string[];
  readonly sni?: string;
}

export interface RemoteService {
  readonly address?: string;
  readonly tlsSettings?: TlsSettings;
  readonly tcpKeepalive?: { readonly probes?: number; readonly time?: string; readonly interval?: string };
}

export interface Tracing {
  readonly zipkin?: { readonly address?: string };
  readonly lightstep?: { readonly address?: string; readonly accessToken?: string };
  readonly datadog?: { readonly address?: string };
  readonly openTelemetry?: { readonly address?: string };
  readonly stackdriver?: JsonObject;
  readonly openCensusAgent?: JsonObject;
  readonly customTags?: Readonly<Record<string, JsonObject>>;
  readonly tlsSettings?: TlsSettings;
}

interface KeyProvider {
  readonly pollDelay?: string;
  readonly fallback?: boolean;
}

/** The effective ProxyConfig, with the fields that the agent acts on. Durations are protobuf's text. */
export interface ProxyConfig {
  readonly configPath: string;
  readonly binaryPath: string;
  readonly serviceCluster?: string;
  readonly tracingServiceName?: "APP_LABEL_AND_NAMESPACE" | "CANONICAL_NAME_ONLY" | "CANONICAL_NAME_AND_NAMESPACE";
  readonly drainDuration: string;
  readonly terminationDrainDuration: string;
  readonly discoveryAddress: string;
  readonly proxyAdminPort: number;
  readonly statusPort: number;
  readonly controlPlaneAuthPolicy: "NONE" | "MUTUAL_TLS" | "INHERIT";
  readonly statNameLength: number;
  readonly concurrency?: number;
  readonly customConfigFile?: string;
  readonly proxyBootstrapTemplatePath?: string;
  readonly statsdUdpAddress?: string;
  readonly envoyMetricsServiceAddress?: string;
  readonly tracing?: Tracing;
  readonly envoyAccessLogService?: RemoteService;
  readonly envoyMetricsService?: RemoteService;
  readonly proxyMetadata?: Readonly<Record<string, string>>;
  readonly runtimeValues?: Readonly<Record<string, string>>;
  readonly extraStatTags?: readonly string[];
  readonly proxyStatsMatcher?: {
    readonly inclusionPrefixes?: readonly string[];
    readonly inclusionSuffixes?: readonly string[];
    readonly inclusionRegexps?: readonly string[];
  };
  readonly caCertificatesPem?: readonly string[];
  readonly privateKeyProvider?: { readonly cryptomb?: KeyProvider; readonly qat?: KeyProvider };
  readonly connectionSettings?: JsonObject;
  readonly fileFlushInterval?: string;
  readonly fileFlushMinSizeKb?: number;
  readonly statsCompression?: boolean;
  readonly readinessProbe?: JsonObject;
}

/** Where images have Envoy. */
export const defaultBinaryPath = "/usr/local/bin/envoy";

/** Source: Istio's built-in ProxyConfig; the injector leaves out what equals it. */
export const proxyConfigDefaults: JsonObject = {
  configPath: "./etc/istio/proxy",
  binaryPath: defaultBinaryPath,
  serviceCluster: "istio-proxy",
  drainDuration: "45s",
  terminationDrainDuration: "5s",
  discoveryAddress: "istiod.istio-system.svc:15012",
  proxyAdminPort: 15000,
  statusPort: 15020,
  controlPlaneAuthPolicy: "MUTUAL_TLS",
  statNameLength: 189,
};

/** The merged fields with their types: the schema has checked each of them. */
export function parseProxyConfigFields(fields: JsonObject): ProxyConfig {
  return fields as unknown as ProxyConfig;
}

/** Alternatives that are rendered even when they are empty. */
const choices = new Set(["serviceCluster", "tracingServiceName"]);

/**
 * ProxyConfig as it is reported to the control plane in the node's metadata: without empty fields, without the tracer's
 * secret, and without the OpenTelemetry tracer, which the control plane's ProxyConfig does not have.
 */
export function renderProxyConfig(fields: JsonObject): JsonObject {
  const { tracing, ...rest } = renderMessage(fields, proxyConfigFields, choices);
  if (!isJsonObject(tracing)) return rest;
  const { openTelemetry: _own, ...known } = tracing;
  const { lightstep } = known;
  if (!isJsonObject(lightstep)) return { ...rest, tracing: known };
  const { accessToken: _secret, ...shown } = lightstep;
  return { ...rest, tracing: { ...known, lightstep: shown } };
}

function renderMessage(message: JsonObject, fields: MessageFields, always: ReadonlySet<string>): JsonObject {
  const result: Record<string, JsonValue> = {};
  for (const [name, value] of Object.entries(message)) {
    const type = fields[name];
    if (type === undefined) continue;
    if (always.has(name) || !isZero(value, type)) result[name] = renderField(value, type);
  }
  return result;
}

function renderField(value: JsonValue, type: FieldType): JsonValue {
  if (typeof type === "string" || "choice" in type) return value;
  if ("message" in type) return isJsonObject(value) ? renderMessage(value, type.message, new Set()) : value;
  if ("list" in type) return isJsonList(value) ? value.map((item) => renderField(item, type.list)) : value;
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, renderField(item, type.map)]));
}

function isZero(value: JsonValue, type: FieldType): boolean {
  if (typeof type === "string") {
    const plainType = type === "string" || type === "bool" || type === "int" || type === "uint" || type === "number";
    return plainType && (value === "" || value === false || value === 0);
  }
  if ("choice" in type) return type.choice.some(([name, number]) => number === 0 && name === value);
  if ("list" in type) return isJsonList(value) && value.length === 0;
  return "map" in type && isJsonObject(value) && Object.keys(value).length === 0;
}

/** Milliseconds of a duration in protobuf's text; 0 for nothing. */
export function protoDurationMs(text: string | undefined): number {
  return text === undefined ? 0 : Number(text.slice(0, -1)) * 1_000;
}

const hostIpPlaceholder = "$(HOST_IP)";
/** Stands for the placeholder while an address is parsed. */
const standIn = "host-ip";
const bracketedPlaceholder = `[${hostIpPlaceholder}]`;

/**
 * Parses the address of a service that Envoy connects to.
 * @param hostIp replaces `$(HOST_IP)`, in brackets or not; when empty, the placeholder stays
 * @returns the text of the problem when it is not an address
 */
export function parseServiceAddress(text: string, hostIp = ""): HostPort | string {
  if (!text.includes(hostIpPlaceholder)) return parseHostPort(text);
  const address = parseHostPort(text.replace(bracketedPlaceholder, standIn).replace(hostIpPlaceholder, standIn));
  if (typeof address === "string") return address;
  const ip = hostIp.replace(/^\[(.*)\]$/, "$1");
  return { ...address, host: address.host.replace(standIn, () => ip || hostIpPlaceholder) };
}

/** The problem of such an address; undefined if it is valid. */
export function addressProblem(text: string): string | undefined {
  const address = parseServiceAddress(text);
  return typeof address === "string" ? address : undefined;
}
