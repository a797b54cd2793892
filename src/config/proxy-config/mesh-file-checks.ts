// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, isJsonObject, listOf, objectOf, objectsOf, textOf, textsOf } from "../../lib/json.ts";
import type { Findings } from "../config-error.ts";
import { isHostname } from "../../lib/net/host-port.ts";
import { protoDurationMs } from "./proxy-config.ts";
import { durationProblem, portProblem } from "./checks.ts";
import { camelCase, readMessage } from "./reader.ts";
import type { MessageFields } from "./schema.ts";

const failover = { list: { message: { from: "string", to: "string" } } } as const;

/** Source: Istio's API, LocalityLoadBalancerSetting */
const localityFields = {
  enabled: "boolValue",
  distribute: { list: { message: { from: "string", to: { map: "uint" } } } },
  failover,
  failoverPriority: { list: "string" },
} as const satisfies MessageFields;

/** Source: Istio's API, ZoneAwareLoadBalancerSetting, the part that Istio's agent checks */
const zoneAwareFields = { failover, failoverPriority: { list: "string" } } as const satisfies MessageFields;

/** Settings of the mesh file that are checked although the agent does not use them. */
const checkedFields = {
  connectTimeout: "duration",
  protocolDetectionTimeout: "duration",
  proxyListenPort: "int",
  trustDomain: "string",
  trustDomainAliases: { list: "string" },
  localityLbSetting: { message: localityFields },
  zoneAwareLbSetting: { message: zoneAwareFields },
  serviceSettings: { list: { message: { settings: "any", hosts: { list: "string" } } } },
  meshMTLS: { message: { minProtocolVersion: "any", cipherSuites: "any", ecdhCurves: "any" } },
} as const satisfies MessageFields;

const longestConnectTimeoutMs = 3_600_000;

/**
 * Source: the checks of Istio's agent on the mesh's settings, without those of the default traffic policy and retries
 * and without the types of settings that are not listed here
 */
export function checkMeshFile(mesh: JsonObject, source: string, findings: Findings): void {
  const given = Object.entries(mesh).filter(([name]) => Object.hasOwn(checkedFields, camelCase(name)));
  const fields = readMessage(Object.fromEntries(given), checkedFields, { source, path: "" }, findings);
  const report = (field: string, problem: string | undefined): void => {
    if (problem !== undefined) findings.problem(`${source}, field ${field}`, problem);
  };
  const { connectTimeout, protocolDetectionTimeout, proxyListenPort, trustDomain, trustDomainAliases } = fields;
  if (typeof connectTimeout === "string") {
    const tooLong = protoDurationMs(connectTimeout) > longestConnectTimeoutMs ? "it must be 1h or less" : undefined;
    report("connectTimeout", prefixed("invalid connect timeout", durationProblem(connectTimeout) ?? tooLong));
  }
  if (typeof protocolDetectionTimeout === "string" && protocolDetectionTimeout !== "0s") {
    report(
      "protocolDetectionTimeout",
      prefixed("invalid protocol detection timeout", durationProblem(protocolDetectionTimeout)),
    );
  }
  if (typeof proxyListenPort === "number") report("proxyListenPort", portProblem("proxy listen port", proxyListenPort));
  if (typeof trustDomain === "string") report("trustDomain", trustDomainProblem("trustDomain", trustDomain));
  for (const [index, alias] of listOf(trustDomainAliases).entries()) {
    const name = `trustDomainAliases[${String(index)}]`;
    if (typeof alias === "string") report(name, trustDomainProblem(name, alias));
  }
  for (const [field, problem] of otherProblems(fields)) report(field, problem);
  warnOfAutoAllocation(mesh, source, findings);
}

/** Problems of settings that only the control plane uses. */
function* otherProblems(fields: JsonObject): Generator<readonly [field: string, problem: string]> {
  const { localityLbSetting, zoneAwareLbSetting, serviceSettings, meshMTLS } = fields;
  if (isJsonObject(localityLbSetting)) {
    for (const problem of localityProblems(localityLbSetting)) yield ["localityLbSetting", problem];
  }
  if (isJsonObject(zoneAwareLbSetting)) {
    for (const problem of zoneAwareProblems(zoneAwareLbSetting)) yield ["zoneAwareLbSetting", problem];
  }
  for (const [index, { hosts }] of objectsOf(serviceSettings).entries()) {
    for (const host of textsOf(hosts)) {
      if (host === "*" || isHostname(host.replace(/^\*\./, ""))) continue;
      yield [
        `serviceSettings[${String(index)}]`,
        `host ${JSON.stringify(host)} is neither a host name nor a wildcard such as *.example.com`,
      ];
    }
  }
  if (isJsonObject(meshMTLS) && meshMTLS["ecdhCurves"] !== undefined) {
    yield ["meshMTLS", "does not support ecdhCurves; set them in tlsDefaults"];
  }
}

function prefixed(what: string, problem: string | undefined): string | undefined {
  return problem === undefined ? undefined : `${what}: ${problem}`;
}

/** Labels of letters, digits and inner hyphens, as in a host name, optionally with a trailing dot. */
function trustDomainProblem(field: string, text: string): string | undefined {
  const labels = (text.endsWith(".") ? text.slice(0, -1) : text).split(".");
  const valid = labels.every((label) => /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/.test(label));
  return valid ? undefined : `${field}: trust domain name ${JSON.stringify(text)} invalid`;
}

function warnOfAutoAllocation(mesh: JsonObject, source: string, findings: Findings): void {
  const config = mesh["defaultConfig"] ?? mesh["default_config"];
  const metadata = isJsonObject(config) ? (config["proxyMetadata"] ?? config["proxy_metadata"]) : undefined;
  if (!isJsonObject(metadata) || metadata["ISTIO_META_DNS_AUTO_ALLOCATE"] === undefined) return;
  findings.warn(
    `${source}, field defaultConfig.proxyMetadata.ISTIO_META_DNS_AUTO_ALLOCATE`,
    "is deprecated: the control plane allocates addresses by default",
  );
}

const topologyLabels = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/** Source: the checks of Istio's agent */
export function* localityProblems(settings: JsonObject): Generator<string> {
  const distribute = objectsOf(settings["distribute"]);
  const failovers = objectsOf(settings["failover"]);
  if (distribute.length > 0 && failovers.length > 0) yield "distribute and failover exclude each other";
  const topology = textsOf(settings["failoverPriority"]).find((label) => topologyLabels.includes(label));
  if (failovers.length > 0 && topology !== undefined) yield `failover excludes ${topology} in failoverPriority`;
  yield* placeProblems(distribute.map(({ from }) => textOf(from)));
  for (const { to } of distribute) {
    const weights = Object.entries(objectOf(to)).map(([place, weight]) => [place, Number(weight)] as const);
    if (weights.some(([, weight]) => weight < 1 || weight > 100)) yield "a locality's weight must be from 1 to 100";
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    if (total !== 100) yield `the localities' weights add up to ${String(total)}, not 100`;
    yield* placeProblems(weights.map(([place]) => place));
  }
  yield* failoverProblems(failovers);
}

/** Source: the checks of Istio's agent */
export function* zoneAwareProblems(settings: JsonObject): Generator<string> {
  const topology = textsOf(settings["failoverPriority"]).find((label) => topologyLabels.includes(label));
  if (topology !== undefined) yield `failoverPriority must not contain ${topology}, which always applies`;
  yield* failoverProblems(objectsOf(settings["failover"]));
}

function* failoverProblems(failovers: readonly JsonObject[]): Generator<string> {
  for (const [from, to] of failovers.map((item) => [textOf(item["from"]), textOf(item["to"])] as const)) {
    if (from === to) yield "failover must name two different regions";
    if (/[/*]/.test(`${from}${to}`)) yield "failover takes names of regions, without / and *";
  }
}

/**
 * Localities of one list: `region/zone/subzone`, where the last parts may be missing or `*`. None may contain
 * another.
 */
function* placeProblems(places: readonly string[]): Generator<string> {
  const earlier: (readonly string[])[] = [];
  for (const place of places) {
    const parts = place.replace(/\/?\*$/, "").split("/");
    const path = place === "*" ? [] : parts;
    if (path.some((part) => part.includes("*"))) yield `locality ${place}: * is only allowed as the last part`;
    if (path.includes("")) yield `locality ${place} must not have an empty region, zone or subzone`;
    if (earlier.some((other) => holds(other, path) || (path.length > 0 && holds(path, other)))) {
      yield `locality ${place} overlaps with an earlier one`;
    }
    earlier.push(path);
  }
}

function holds(outer: readonly string[], inner: readonly string[]): boolean {
  return outer.length <= inner.length && outer.every((part, index) => part === inner[index]);
}
