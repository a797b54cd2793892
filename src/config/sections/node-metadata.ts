// SPDX-License-Identifier: Apache-2.0
import {
  DocumentLimitError,
  type JsonObject,
  type JsonValue,
  isJsonList,
  isJsonObject,
  objectOf,
  parseJson,
  toJsonValue,
  tryParseJson,
} from "../../lib/json.ts";
import { type Findings, shown } from "../config-error.ts";
import { parseBool } from "../sources/environment.ts";

/** A value of the metadata, and the variable that it comes from. */
interface RawValue {
  readonly value: JsonValue;
  readonly source: string;
}

export interface RawMetadata {
  readonly values: ReadonlyMap<string, RawValue>;
  /** The metadata's own `LABELS`, as a member of any `ISTIO_METAJSON_*`. */
  readonly labels: Readonly<Record<string, string>>;
  /** The members of `ISTIO_METAJSON_LABELS`. */
  readonly staticLabels: Readonly<Record<string, string>>;
}

export const metaPrefix = "ISTIO_META_";
const metaJsonPrefix = "ISTIO_METAJSON_";

/**
 * Collects metadata unchanged: proxyMetadata, then `ISTIO_META_*`, then the members of `ISTIO_METAJSON_*`. Later ones
 * replace earlier ones. A text that is not a JSON object is ignored with a warning.
 */
export function collectMetadata(
  env: Readonly<Record<string, string>>,
  proxyMetadata: Readonly<Record<string, string>>,
  findings: Findings,
): RawMetadata {
  const values = new Map<string, RawValue>();
  for (const [name, value] of Object.entries(proxyMetadata)) {
    if (name.startsWith(metaPrefix)) {
      values.set(name.slice(metaPrefix.length), { value, source: `proxyMetadata.${name}` });
    }
  }
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith(metaPrefix)) values.set(name.slice(metaPrefix.length), { value, source: name });
  }
  let staticLabels: Record<string, string> = {};
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith(metaJsonPrefix)) continue;
    const members = parseObject(text);
    if (typeof members === "string") {
      findings.warn(name, `${members}; it is ignored`);
      continue;
    }
    for (const [key, value] of Object.entries(members)) values.set(key, { value, source: name });
    if (name === `${metaJsonPrefix}LABELS`) staticLabels = { ...staticLabels, ...textsOf(members) };
  }
  if (env["DNS_PROXY_ADDR"]) values.set("DNS_PROXY_ADDR", { value: env["DNS_PROXY_ADDR"], source: "DNS_PROXY_ADDR" });
  return { values, labels: textsOf(values.get("LABELS")?.value), staticLabels };
}

/** What is wrong with a text that is no JSON object. */
function parseObject(text: string): JsonObject | string {
  try {
    const value = toJsonValue(parseJson(text));
    return isJsonObject(value) ? value : "is not a JSON object";
  } catch (error) {
    return error instanceof DocumentLimitError ? error.message : "is not a JSON object";
  }
}

function textsOf(members: JsonValue | undefined): Record<string, string> {
  const texts = Object.entries(objectOf(members)).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return Object.fromEntries(texts);
}

type Reader = (value: JsonValue) => JsonValue | undefined;

const text: Reader = (value) => (typeof value === "string" ? value : undefined);
const textBool: Reader = (value) => {
  const bool = typeof value === "string" ? parseBool(value) : undefined;
  return bool === undefined ? undefined : bool ? "true" : "";
};
const textMap: Reader = (value) =>
  isJsonObject(value) && Object.values(value).every((item) => typeof item === "string") ? value : undefined;
const wholeNumber: Reader = (value) => (typeof value === "number" && Number.isInteger(value) ? value : undefined);
const textList: Reader = (value) =>
  isJsonList(value) && value.every((item) => typeof item === "string") ? value : undefined;
const object: Reader = (value) => (isJsonObject(value) ? value : undefined);

/** Container ports, reduced to the three fields that the control plane reads. */
const podPorts: Reader = (value) => {
  const ports = typeof value === "string" ? tryParseJson(value) : undefined;
  if (ports === null) return "";
  const read = isJsonList(ports) ? ports.map(readPort) : [undefined];
  if (read.includes(undefined)) return undefined;
  return read.length === 0 ? "" : JSON.stringify(read);
};

function readPort(port: JsonValue): JsonObject | undefined {
  if (!isJsonObject(port)) return undefined;
  const { name, containerPort = 0, protocol = "" } = port;
  if (typeof containerPort !== "number" || typeof protocol !== "string") return undefined;
  return typeof name === "string" && name !== "" ? { name, containerPort, protocol } : { containerPort, protocol };
}

const texts = `NAME NAMESPACE SERVICE_ACCOUNT INSTANCE_IPS ISTIO_VERSION WORKLOAD_IDENTITY_SOCKET_FILE STS_PORT
  OUTLIER_LOG_PATH REQUESTED_NETWORK_VIEW CLUSTER_ID NETWORK MESH_ID NODE_NAME WORKLOAD_NAME OWNER INTERCEPTION_MODE
  APP_CONTAINERS ISTIO_PROXY_SHA ISTIO_REVISION GENERATOR HTTP_PROXY_PORT HTTP10 IDLE_TIMEOUT BASE AUTO_REGISTER_GROUP
  WORKLOAD_ENTRY UNPRIVILEGED_POD CLOUDRUN_ADDR DNS_PROXY_ADDR TLS_SERVER_CERT_CHAIN TLS_SERVER_KEY
  TLS_SERVER_ROOT_CERT TLS_CLIENT_CERT_CHAIN TLS_CLIENT_KEY TLS_CLIENT_ROOT_CERT`;
const textBools = `ENABLE_HBONE DISABLE_HBONE_SEND DNS_CAPTURE DNS_AUTO_ALLOCATE ENABLE_SELF_DISCOVERY
  INBOUND_LISTENER_EXACT_BALANCE OUTBOUND_LISTENER_EXACT_BALANCE EXIT_ON_ZERO_ACTIVE_CONNECTIONS
  ENVOY_SKIP_DEPRECATED_LOGS METADATA_DISCOVERY`;
const numbers = "ENVOY_STATUS_PORT ENVOY_PROMETHEUS_PORT ENVOY_SECURE_METRICS_PORT ENVOY_SECURE_MERGED_METRICS_PORT";

function group(names: string, form: string, read: Reader): [string, { form: string; read: Reader }][] {
  return names.split(/\s+/).map((name) => [name, { form, read }]);
}

/** The keys that the control plane knows, with the type of each. Source: Istio's node metadata */
export const typedKeys: ReadonlyMap<string, { readonly form: string; readonly read: Reader }> = new Map([
  ...group(texts, "a string", text),
  ...group(textBools, "true or false", textBool),
  ...group(numbers, "a number, which only ISTIO_METAJSON_ can give", wholeNumber),
  ...group("LABELS STATIC_LABELS ANNOTATIONS PLATFORM_METADATA", "an object of strings", textMap),
  ...group("POD_PORTS", "a JSON array of ports", podPorts),
  ...group("PILOT_SAN", "a list of strings", textList),
  ...group("PROXY_CONFIG", "an object", object),
]);

export interface Metadata {
  readonly typed: JsonObject;
  /** The typed keys, and every other key unchanged. */
  readonly all: JsonObject;
}

/**
 * Checks the typed keys and replaces the computed ones. A typed value that is empty is reported only where it was given
 * so. A value of the wrong type is a problem that names its variable.
 * @param computed undefined, empty texts and 0 are not reported
 */
export function renderMetadata(
  raw: RawMetadata,
  computed: Readonly<Record<string, JsonValue | undefined>>,
  findings: Findings,
): Metadata {
  const typed: Record<string, JsonValue> = {};
  for (const [key, { value, source }] of raw.values) {
    const spec = typedKeys.get(key);
    if (spec === undefined) continue;
    const read = spec.read(value);
    if (read === undefined) {
      const name = source.endsWith(key) ? source : `${source}, member ${key}`;
      findings.problem(name, `${shown(value)} is not ${spec.form}`);
    } else typed[key] = read;
  }
  for (const [key, value] of Object.entries(computed)) typed[key] = value ?? "";
  const kept = Object.fromEntries(Object.entries(typed).filter(([, value]) => !isNothing(value)));
  const rest = [...raw.values].filter(([key]) => !Object.hasOwn(kept, key));
  return {
    typed: kept,
    all: { ...kept, ...Object.fromEntries(rest.map(([key, { value }]): [string, JsonValue] => [key, value])) },
  };
}

function isNothing(value: JsonValue): boolean {
  return value === "" || value === 0 || (isJsonObject(value) && Object.keys(value).length === 0);
}
