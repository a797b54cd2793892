// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { compareItems, isSame } from "../../../../src/diagnosis/config-dump/differences.ts";
import { renderDifferences } from "../../../../src/diagnosis/config-dump/render-differences.ts";
import type { JsonValue } from "../../../../src/lib/json.ts";
import { noPaint } from "../../../../src/lib/paint.ts";

function changes(before: JsonValue, after: JsonValue) {
  return compareItems(new Map([["x", before]]), new Map([["x", after]])).changed[0]?.changes ?? [];
}

test("values have paths by name, by address, or by place", () => {
  const route = (weight: number) => ({ virtualHosts: [{ name: "api", routes: [{ route: { weight } }] }] });
  expect(changes(route(100), route(80))).toEqual([
    { path: "virtualHosts[api].routes[0].route.weight", before: 100, after: 80 },
  ]);
  const host = (port: number, weight: number) => ({
    endpoint: { address: { socketAddress: { address: "10.0.0.1", portValue: port } } },
    weight,
  });
  expect(changes([host(1, 1), host(2, 1)], [host(2, 3), host(1, 1)])).toEqual([
    { path: "[10.0.0.1:2].weight", before: 1, after: 3 },
  ]);
  expect(changes({ metadata: { "a.b/c": 1 } }, { metadata: { "a.b/c": 2 } })).toEqual([
    { path: 'metadata["a.b/c"]', before: 1, after: 2 },
  ]);
});

test("an item that is inserted into a list is one difference; another order is one too", () => {
  const routes = ["/a", "/b", "/c"].map((prefix) => ({ match: { prefix } }));
  expect(changes(routes, [...routes.slice(0, 1), { match: { prefix: "/new" } }, ...routes.slice(1)])).toEqual([
    { path: "[1]", after: { match: { prefix: "/new" } } },
  ]);
  const named = [{ name: "cors" }, { name: "router" }];
  expect(changes({ filters: named }, { filters: named.toReversed() })).toEqual([
    { path: "filters (order)", before: ["cors", "router"], after: ["router", "cors"] },
  ]);
  expect(changes([{ name: "a" }, { name: "a", v: 1 }], [{ name: "a" }, { name: "a", v: 2 }])).toEqual([
    { path: "[1].v", before: 1, after: 2 },
  ]);
});

test("a value that is redacted on one side is no difference", () => {
  const added = (value: string) => [{ header: { key: "x", value } }];
  expect(changes(added("[redacted]"), added("blue"))).toEqual([]);
});

test("the text has removed, added and changed things, and escapes what a control plane sent", () => {
  const before = new Map<string, JsonValue>(Object.entries({ gone: {}, kept: { a: 1, b: ["x"], c: true } }));
  const after = new Map<string, JsonValue>(Object.entries({ kept: { a: 2, b: ["x", "y\u001b[31m"] }, "n\new": {} }));
  const differences = compareItems(before, after);
  expect(isSame(differences)).toBe(false);
  const sides = { before: "old.json", after: "localhost:15020" };
  expect(renderDifferences("clusters", sides, differences, noPaint)).toBe(
    [
      "clusters: 1 changed, 1 added, 1 removed, old.json -> localhost:15020",
      "- gone",
      "+ n\\new",
      "~ kept",
      "    a: 1 -> 2",
      '    b[1]: added "y\\u001b[31m"',
      "    c: removed true",
      "",
    ].join("\n"),
  );
  const none = compareItems(after, after);
  expect(renderDifferences("clusters", sides, none, noPaint)).toBe(
    "clusters: no difference, old.json -> localhost:15020\n",
  );
});

test("a resource with many changes is cut, and says where the rest is", () => {
  const numbers = (offset: number) =>
    Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`v${String(index)}`, index + offset]));
  const differences = compareItems(new Map([["x", numbers(0)]]), new Map([["x", numbers(1)]]));
  const lines = renderDifferences("routes", { before: "a", after: "b" }, differences, noPaint).split("\n");
  expect(lines.slice(-3)).toEqual(["    v49: 49 -> 50", "    and 10 more; -o json has all", ""]);
});
