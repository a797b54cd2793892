// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { localityProblems, zoneAwareProblems } from "../../../../src/config/proxy-config/mesh-file-checks.ts";
import type { JsonObject } from "../../../../src/lib/json.ts";

const problems = (settings: JsonObject): readonly string[] => [...localityProblems(settings)];
const distribute = (...to: readonly JsonObject[]): JsonObject => ({
  distribute: to.map((weights, index) => ({ from: `r${String(index)}`, to: weights })),
});

test.each<[string, JsonObject]>([
  ["nothing", {}],
  ["weights of 100 in all", distribute({ "a/b/*": 80, c: 20 }, { "*": 100 })],
  ["what is left after the places before it", distribute({ "a/b": 80, "*": 20 })],
  ["zones side by side", distribute({ "a/b/c": 10, "a/b/d": 40, "a/c": 50 })],
  ["a failover with labels", { failover: [{ from: "a", to: "b" }], failoverPriority: ["app"] }],
])("%s is accepted", (_, settings) => {
  expect(problems(settings)).toEqual([]);
});

test.each<[JsonObject, string]>([
  [
    { distribute: [{ from: "a", to: { a: 100 } }], failover: [{ from: "a", to: "b" }] },
    "distribute and failover exclude each other",
  ],
  [
    { failover: [{ from: "a", to: "b" }], failoverPriority: ["app", "topology.kubernetes.io/zone"] },
    "failover excludes topology.kubernetes.io/zone in failoverPriority",
  ],
  [distribute({ a: 90 }), "the localities' weights add up to 90, not 100"],
  [distribute({ a: 0, b: 100 }), "a locality's weight must be from 1 to 100"],
  [distribute({ "a/*": 50, "a/b": 50 }), "locality a/b overlaps with an earlier one"],
  [distribute({ "a/b": 50, a: 50 }), "locality a overlaps with an earlier one"],
  [distribute({ "*": 50, a: 50 }), "locality a overlaps with an earlier one"],
  [distribute({ "a//c": 100 }), "locality a//c must not have an empty region, zone or subzone"],
  [distribute({ "a/*/c": 100 }), "locality a/*/c: * is only allowed as the last part"],
  [{ failover: [{ from: "a", to: "a" }] }, "failover must name two different regions"],
  [{ failover: [{ from: "a/b", to: "c" }] }, "failover takes names of regions, without / and *"],
])("%j is rejected", (settings, expected) => {
  expect(problems(settings)).toEqual([expected]);
});

test("two places of origin may not hold each other", () => {
  const settings = { distribute: ["a", "a/b"].map((from) => ({ from, to: { a: 100 } })) };
  expect(problems(settings)).toEqual(["locality a/b overlaps with an earlier one"]);
});

test("zone-aware balancing rejects a failover within a region, and the labels that it always uses", () => {
  expect([...zoneAwareProblems({ failover: [{ from: "a", to: "b" }], failoverPriority: ["app"] })]).toEqual([]);
  expect([...zoneAwareProblems({ failover: [{ from: "*", to: "b" }] })]).toHaveLength(1);
  expect([...zoneAwareProblems({ failoverPriority: ["topology.istio.io/subzone"] })]).toHaveLength(1);
});
