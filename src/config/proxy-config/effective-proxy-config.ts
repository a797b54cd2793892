// SPDX-License-Identifier: Apache-2.0
import { ipFamily, isIpv6 } from "../../lib/net/ip-address.ts";
import type { FlagValues } from "../../lib/flags.ts";
import { type JsonObject, type JsonValue, isJsonObject } from "../../lib/json.ts";
import type { Findings } from "../config-error.ts";
import type { ConfigInput } from "../sources/config-input.ts";
import { documentProblem } from "../sources/documents.ts";
import { type Environment, parseInteger } from "../sources/environment.ts";
import { addressProblem, parseProxyConfigFields, parseServiceAddress, proxyConfigDefaults } from "./proxy-config.ts";
import { proxyConfigFields } from "./schema.ts";
import { checkProxyConfig } from "./checks.ts";
import { readMessage } from "./reader.ts";
import type { proxyFlags } from "../sources/flags.ts";
import { configAnnotation, statusPortAnnotation } from "../sources/sources.ts";

export interface ProxyConfigSources {
  readonly input: ConfigInput;
  readonly env: Environment;
  readonly flags: FlagValues<typeof proxyFlags>;
  readonly annotations: ReadonlyMap<string, string>;
  readonly findings: Findings;
}

const addressAnnotation = "sidecar.istio.io/discoveryAddress";

/**
 * ProxyConfig from all its sources: defaults, mesh file, variable, annotation, then CPU limit and flags. After the
 * checks come the annotations that override single fields.
 * Source: the order of Istio's agent
 */
export function effectiveProxyConfig(sources: ProxyConfigSources): MergedProxyConfig & { readonly mesh: JsonObject } {
  const mesh = readMesh(sources);
  const merged = mergeProxyConfig(proxyConfigLayers(sources, mesh), sources.findings);
  const fields: Record<string, JsonValue> = { ...merged.fields };
  const origins = new Map(merged.origins);
  const set = (name: string, value: JsonValue, origin: string): void => {
    fields[name] = value;
    origins.set(name, origin);
  };
  setConcurrency(sources, fields, set);
  if (fields["serviceCluster"] === "") set("serviceCluster", sources.flags.serviceCluster, "--serviceCluster");
  const statsd = fields["statsdUdpAddress"];
  if (typeof statsd === "string" && statsd !== "") {
    const origin = origins.get("statsdUdpAddress") ?? "default";
    set("statsdUdpAddress", statsdAddress(sources, statsd, `${origin}, field statsdUdpAddress`), origin);
  }
  checkProxyConfig(parseProxyConfigFields(fields), (name) => origins.get(name) ?? "default", sources.findings);
  applyAnnotations(sources, set);
  return { fields, origins, mesh };
}

function proxyConfigLayers(sources: ProxyConfigSources, mesh: JsonObject): readonly ProxyConfigLayer[] {
  const { env, annotations, flags } = sources;
  const variable = document(sources, "PROXY_CONFIG", env.string("PROXY_CONFIG"));
  const source = `annotation ${configAnnotation}`;
  const annotation = document(sources, source, annotations.get(configAnnotation) ?? "");
  const defaults = mesh["defaultConfig"] ?? mesh["default_config"];
  return [
    { source: meshSource(flags), value: defaults },
    { source: "PROXY_CONFIG", value: variable },
    { source, value: annotation },
  ];
}

function meshSource({ meshConfig }: ProxyConfigSources["flags"]): string {
  return `mesh config file ${meshConfig}`;
}

/** Only `defaultConfig`, trust anchors and aliases of the mesh file have an effect; some other settings are checked. */
function readMesh(sources: ProxyConfigSources): JsonObject {
  const { input, flags, findings } = sources;
  const source = meshSource(flags);
  const file = input.readFile(flags.meshConfig);
  if (file.kind === "unreadable") findings.problem(source, file.problem);
  const value = file.kind === "text" ? document(sources, source, file.text) : undefined;
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) {
    findings.problem(source, "must be an object: the mesh's settings");
    return {};
  }
  input.checkMeshFile(value, source, findings);
  return value;
}

function document({ input, findings }: ProxyConfigSources, source: string, text: string): JsonValue | undefined {
  if (text.trim() === "") return undefined;
  try {
    return input.parseDocument(text);
  } catch (error) {
    findings.problem(source, documentProblem(error));
    return undefined;
  }
}

type SetField = (name: string, value: JsonValue, origin: string) => void;

function setConcurrency(
  { env, flags, input, findings }: ProxyConfigSources,
  fields: Readonly<Record<string, JsonValue>>,
  set: SetField,
): void {
  const cpuLimit = env.int("ISTIO_CPU_LIMIT");
  let concurrency = fields["concurrency"] ?? 0;
  if (fields["concurrency"] === undefined && cpuLimit !== 0) {
    concurrency = cpuLimit;
    set("concurrency", cpuLimit, "ISTIO_CPU_LIMIT");
  }
  if (flags.concurrency !== 0) {
    findings.warn("--concurrency", "is deprecated and overrides ProxyConfig; set concurrency there");
    concurrency = flags.concurrency;
    set("concurrency", flags.concurrency, "--concurrency");
  }
  if (concurrency === 0 && cpuLimit < input.system.cpuCount) {
    findings.warn(
      "ISTIO_CPU_LIMIT",
      "concurrency is not set and there is no CPU limit: Envoy starts one worker for each CPU of the machine",
    );
  }
}

/** The address with its host resolved; empty, with a warning, when that is not possible. */
function statsdAddress({ env, input, findings }: ProxyConfigSources, text: string, source: string): string {
  const address = parseServiceAddress(text, env.string("HOST_IP"));
  if (typeof address === "string") {
    findings.warn(source, `resolve StatsdUdpAddress failed: ${address}; metrics are not sent there`);
    return "";
  }
  const ip = ipFamily(address.host) === 0 ? input.system.resolvedHosts.get(address.host) : address.host;
  if (ip === undefined) {
    findings.warn(
      source,
      `resolve StatsdUdpAddress failed: ${address.host} has no address; metrics are not sent there`,
    );
    return "";
  }
  return `${isIpv6(ip) ? `[${ip}]` : ip}:${String(address.port)}`;
}

/**
 * Annotations that override everything else. A status port that is not a number turns the status server off, as in
 * Istio.
 */
function applyAnnotations({ annotations, findings }: ProxyConfigSources, set: SetField): void {
  const address = annotations.get(addressAnnotation);
  if (address !== undefined) {
    const problem = addressProblem(address);
    if (problem !== undefined)
      findings.problem(`annotation ${addressAnnotation}`, `invalid discovery address: ${problem}`);
    set("discoveryAddress", address, `annotation ${addressAnnotation}`);
  }
  const portText = annotations.get(statusPortAnnotation);
  if (portText === undefined) return;
  const port = parseInteger(portText);
  if (port === undefined) {
    findings.warn(
      `annotation ${statusPortAnnotation}`,
      `${JSON.stringify(portText)} is not a port; the status server is off`,
    );
  }
  set("statusPort", port ?? 0, `annotation ${statusPortAnnotation}`);
}

/** One source of ProxyConfig. */
export interface ProxyConfigLayer {
  readonly source: string;
  readonly value: JsonValue | undefined;
}

export interface MergedProxyConfig {
  readonly fields: JsonObject;
  /** Which source each field comes from. */
  readonly origins: ReadonlyMap<string, string>;
}

/**
 * Merges layers over the defaults, lowest first. A field replaces the lower one as a whole; only proxyMetadata is
 * merged key by key, and some parts of proxyHeaders are kept where the upper layer does not set them.
 */
export function mergeProxyConfig(layers: readonly ProxyConfigLayer[], findings: Findings): MergedProxyConfig {
  const fields: Record<string, JsonValue> = { ...proxyConfigDefaults };
  const origins = new Map(Object.keys(fields).map((name) => [name, "default"]));
  for (const { source, value } of layers) {
    const layer = withoutDoubles(
      readMessage(value, proxyConfigFields, { source, path: "" }, findings),
      source,
      findings,
    );
    for (const [name, item] of Object.entries(layer)) {
      fields[name] = mergeField(name, fields[name], item);
      origins.set(name, source);
    }
    if (layer["serviceCluster"] !== undefined) delete fields["tracingServiceName"];
    if (layer["tracingServiceName"] !== undefined) delete fields["serviceCluster"];
  }
  return { fields, origins };
}

/** Alternatives: of those given, the last one in this order is used. Source: Istio's API; observed */
const alternatives = {
  "": ["serviceCluster", "tracingServiceName"],
  tracing: ["zipkin", "lightstep", "datadog", "stackdriver", "openCensusAgent"],
  privateKeyProvider: ["cryptomb", "qat"],
} as const;

function withoutDoubles(layer: JsonObject, source: string, findings: Findings): JsonObject {
  let result = layer;
  for (const [path, names] of Object.entries(alternatives)) {
    const message = path === "" ? result : result[path];
    if (!isJsonObject(message)) continue;
    const given = names.filter((name) => message[name] !== undefined);
    const [last] = given.slice(-1);
    if (last === undefined || given.length < 2) continue;
    const place = path === "" ? source : `${source}, field ${path}`;
    findings.warn(place, `${given.join(" and ")} exclude each other; ${last} is used`);
    const rest = Object.entries(message).filter(([name]) => name === last || !given.some((other) => other === name));
    const kept = Object.fromEntries(rest);
    result = path === "" ? kept : { ...result, [path]: kept };
  }
  return result;
}

/** Parts of proxyHeaders that are kept from the lower layer. Source: observed */
const keptHeaders = new Set(["forwardedClientCert", "requestId", "attemptCount", "server", "envoyDebugHeaders"]);

function mergeField(name: string, lower: JsonValue | undefined, upper: JsonValue): JsonValue {
  if (!isJsonObject(lower) || !isJsonObject(upper)) return upper;
  if (name === "proxyMetadata") return { ...lower, ...upper };
  if (name !== "proxyHeaders") return upper;
  return { ...Object.fromEntries(Object.entries(lower).filter(([part]) => keptHeaders.has(part))), ...upper };
}
