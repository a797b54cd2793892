// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { mergeOverride } from "../../../src/bootstrap/override.ts";
import type { JsonObject } from "../../../src/lib/json.ts";

test.each<[string, JsonObject, JsonObject, JsonObject]>([
  ["joins objects", { a: { b: 1 } }, { a: { c: 2 }, d: 3 }, { a: { b: 1, c: 2 }, d: 3 }],
  ["appends lists", { a: [1] }, { a: [2] }, { a: [1, 2] }],
  ["replaces other values", { a: "x", b: 1 }, { a: "y", b: 2 }, { a: "y", b: 2 }],
  [
    "keeps values where the override has those of absent fields",
    { a: true, b: 1 },
    { a: false, b: 0 },
    { a: true, b: 1 },
  ],
  ["ignores null", { a: 1 }, { a: null, b: null }, { a: 1 }],
  [
    "knows both names of a field",
    { stats_config: { a: 1 } },
    { statsConfig: { b: 2 } },
    { stats_config: { a: 1, b: 2 } },
  ],
  [
    "replaces a message with a type",
    { a: { "@type": "t", x: 1 } },
    { a: { "@type": "t", y: 1 } },
    { a: { "@type": "t", y: 1 } },
  ],
  [
    "replaces entries of the node's metadata, whose names are kept",
    { node: { metadata: { a: { x: 1 }, b: [1], snake_case: 1 } } },
    { node: { metadata: { a: { y: 1 }, b: [2], snakeCase: 2 } } },
    { node: { metadata: { a: { y: 1 }, b: [2], snake_case: 1, snakeCase: 2 } } },
  ],
  [
    "replaces an alternative",
    { admin: { address: { socket_address: { address: "a", port_value: 1 } } } },
    { admin: { address: { pipe: { path: "p" } } } },
    { admin: { address: { pipe: { path: "p" } } } },
  ],
  ["passes on what does not fit, for Envoy to reject", { a: [1] }, { a: 5 }, { a: [1, 5] }],
])("an override %s", (_title, base, override, merged) => {
  expect(mergeOverride(base, override)).toEqual(merged);
});

test("23: an element that stands for a list of it is appended to the list", () => {
  const base = { static_resources: { clusters: [{ name: "xds-grpc" }] } };
  const override = { static_resources: { clusters: { name: "mine" } } };
  expect(mergeOverride(base, override)).toEqual({
    static_resources: { clusters: [{ name: "xds-grpc" }, { name: "mine" }] },
  });
});

test("23: booleans and numbers as texts have the values of absent fields too", () => {
  const base = { admin: { ignore: true, limit: 5, name: "a" } };
  expect(mergeOverride(base, { admin: { ignore: "False", limit: "0.0", name: "0" } })).toEqual({
    admin: { ignore: true, limit: 5, name: "0" },
  });
});
