// SPDX-License-Identifier: Apache-2.0
import type { JsonObject, JsonValue } from "../../model/node.ts";
import { isJsonObject } from "./proxy-config.ts";
import type { MessageFields } from "./schema.ts";

const failover = { list: { message: { from: "string", to: "string" } } } as const;

/** Where requests go by the place of who asks. Source: Istio's API, LocalityLoadBalancerSetting */
export const localityFields = {
  enabled: "boolValue",
  distribute: { list: { message: { from: "string", to: { map: "uint" } } } },
  failover,
  failoverPriority: { list: "string" },
} as const satisfies MessageFields;

/** Source: Istio's API, ZoneAwareLoadBalancerSetting, the part that Istio's agent checks */
export const zoneAwareFields = { failover, failoverPriority: { list: "string" } } as const satisfies MessageFields;

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
    const weights = Object.entries(isJsonObject(to) ? to : {}).map(
      ([place, weight]) => [place, Number(weight)] as const,
    );
    if (weights.some(([, weight]) => weight < 1 || weight > 100)) yield "a locality's weight must be from 1 to 100";
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    if (total !== 100) yield `the localities' weights are ${String(total)} in all and must be 100`;
    yield* placeProblems(weights.map(([place]) => place));
  }
  yield* failoverProblems(failovers);
}

/** Source: the checks of Istio's agent */
export function* zoneAwareProblems(settings: JsonObject): Generator<string> {
  const topology = textsOf(settings["failoverPriority"]).find((label) => topologyLabels.includes(label));
  if (topology !== undefined) yield `failoverPriority must not have ${topology}, which is seen to already`;
  yield* failoverProblems(objectsOf(settings["failover"]));
}

function* failoverProblems(failovers: readonly JsonObject[]): Generator<string> {
  for (const [from, to] of failovers.map((item) => [textOf(item["from"]), textOf(item["to"])] as const)) {
    if (from === to) yield "failover must name two regions that differ";
    if (/[/*]/.test(`${from}${to}`)) yield "failover is between regions: names without / and *";
  }
}

/** Localities of one list: `region/zone/subzone`, the end of it left out or `*`; none may hold another. */
function* placeProblems(places: readonly string[]): Generator<string> {
  const earlier: (readonly string[])[] = [];
  for (const place of places) {
    const parts = place.replace(/\/?\*$/, "").split("/");
    const path = place === "*" ? [] : parts;
    if (path.some((part) => part.includes("*"))) yield `locality ${place}: * may only stand at the end`;
    if (path.includes("")) yield `locality ${place} must not have an empty region, zone or subzone`;
    if (earlier.some((other) => holds(other, path) || (path.length > 0 && holds(path, other)))) {
      yield `locality ${place} overlaps with one before it`;
    }
    earlier.push(path);
  }
}

function holds(outer: readonly string[], inner: readonly string[]): boolean {
  return outer.length <= inner.length && outer.every((part, index) => part === inner[index]);
}

export function objectsOf(value: JsonValue | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter((item: JsonValue) => isJsonObject(item)) : [];
}

export function textsOf(value: JsonValue | undefined): readonly string[] {
  return Array.isArray(value) ? value.filter((item: JsonValue) => typeof item === "string") : [];
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}
