// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { formatIp } from "../../../src/lib/net/ip-address.ts";
import { debugTable } from "../../../src/dns/names.ts";
import { buildLookupTable } from "../../../src/dns/lookup-table.ts";
import type { NameTable } from "../../../src/model/name-table.ts";
import { kubernetes, named } from "../../support/name-tables.ts";

const domain = { namespace: "ns1", domain: "svc.cluster.local" };
const search = "ns1.svc.cluster.local.";
const build = (table: NameTable) => buildLookupTable(table, domain, () => Promise.resolve());

/** Which of the names are known, and to what address. */
async function known(table: NameTable, names: readonly string[]): Promise<readonly string[]> {
  const lookup = await build(table);
  return names.map((name) => {
    const found = lookup.find(name, search);
    if (found === undefined) return "-";
    const addresses = [...found.v4, ...found.v6].map(formatIp).join(" ");
    return found.hasSearchDomain ? `alias of ${addresses}` : addresses;
  });
}

test("a service of the proxy's domain has its short forms, the shortest in its own namespace only", async () => {
  const table = [kubernetes("a", "ns1", ["10.0.0.1"]), kubernetes("b", "ns2", ["10.0.0.2"])];
  const forms = ["a", "a.ns1", "a.ns1.svc", "a.ns1.svc.cluster.local", "b", "b.ns2", "b.ns2.svc"];
  const names = forms.map((form) => `${form}.`);
  const all = ["10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "-", "10.0.0.2", "10.0.0.2"];
  expect(await known(table, names)).toEqual(all);
});

test("outside the proxy's domain, and for other registries, only the host resolves", async () => {
  const remote = { registry: "Kubernetes", shortName: "c", namespace: "ns1", altHosts: ["c.alt"] };
  const table = [
    named("c.ns1.svc.cluster.remote", ["10.0.0.3"], remote),
    named("d.ns1.svc.cluster.local", ["10.0.0.4"], { ...remote, registry: "External", shortName: "d" }),
    named("Dotted.Example.", ["10.0.0.5"]),
    { ...kubernetes("e", "ns1", ["10.0.0.6"]), host: "e.ns1.svc.cluster.local." },
  ];
  const names = ["c.ns1.", "c.alt.", "c.ns1.svc.cluster.remote.", "d.ns1.", "d.", "d.ns1.svc.cluster.local."];
  expect(await known(table, names)).toEqual(["-", "-", "10.0.0.3", "-", "-", "10.0.0.4"]);
  expect(await known(table, ["dotted.example.", "e."])).toEqual(["10.0.0.5", "10.0.0.6"]);
});

test("other hosts of a service resolve, and a host takes precedence over an equal short form", async () => {
  const table = [
    kubernetes("web", "ns1", ["10.0.0.1"], ["web.ns1.svc.clusterset.local"]),
    named("web.ns1", ["10.0.0.9"]),
  ];
  const names = ["web.ns1.svc.clusterset.local.", "web.ns1.", "web."];
  expect(await known(table, names)).toEqual(["10.0.0.1", "10.0.0.9", "10.0.0.1"]);
});

test("an invalid address is dropped, and a service without any does not resolve", async () => {
  const table = [named("some.example", ["10.0.0.0/24", "10.0.0.1", "2001:db8::1"]), named("none.example", ["x", ""])];
  expect(await known(table, ["some.example.", "none.example."])).toEqual(["10.0.0.1 2001:db8::1", "-"]);
});

test("the search domain makes an alias, once, and not of a name that ends in it already", async () => {
  const table = [named("www.example", ["1.1.1.1"]), kubernetes("a", "ns1", ["10.0.0.1"])];
  const names = ["www.example.", "www.example.a.", "a.ns1.", "a.ns1.svc.cluster.local."].map((name) => name + search);
  expect(await known(table, names)).toEqual(["alias of 1.1.1.1", "-", "alias of 10.0.0.1", "-"]);
  const lookup = await build(table);
  expect(lookup.find(`www.example.${search}`, undefined)).toBeUndefined();
});

test("the longest wildcard matches a name of any depth, and not its own parent", async () => {
  const table = [named("*.wild", ["10.0.0.1"]), named("*.b.wild", ["10.0.0.2"]), named("x.b.wild", ["10.0.0.3"])];
  const names = ["wild.", "a.wild.", "b.wild.", "a.b.wild.", "c.a.b.wild.", "x.b.wild.", "y.x.b.wild."];
  const answers = ["-", "10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.3", "10.0.0.2"];
  expect(await known(table, names)).toEqual(answers);
  expect(await known(table, [`a.wild.${search}`])).toEqual(["alias of 10.0.0.1"]);
  expect(await known(table, ["."])).toEqual(["-"]);
});

test("/debug/ndsz has the table as it came and each name that is resolved, with its own registry", async () => {
  const lookup = await build([
    kubernetes("a", "ns2", ["10.0.0.1"], ["a.alt"]),
    named("www.example", ["1.1.1.1", "nonsense"]),
    named("__proto__", []),
  ]);
  const synthetic = { ips: ["10.0.0.1"], registry: "Kubernetes" };
  expect(Object.entries(debugTable(lookup).table).sort()).toEqual(
    Object.entries({
      "a.ns2.svc.cluster.local": { ...synthetic, shortname: "a", namespace: "ns2", alt_hosts: ["a.alt"] },
      "a.ns2.svc.cluster.local.": synthetic,
      "a.ns2.": synthetic,
      "a.ns2.svc.": synthetic,
      "a.alt.": synthetic,
      "www.example": { ips: ["1.1.1.1", "nonsense"], registry: "External" },
      "www.example.": { ips: ["1.1.1.1"], registry: "External" },
      ["__proto__"]: { registry: "External" },
    }).sort(),
  );
});

test("a large table is built in blocks", async () => {
  const table = Array.from({ length: 1_000 }, (_, i) => kubernetes(`s${String(i)}`, "ns1", ["10.0.0.1"]));
  let pauses = 0;
  const lookup = await buildLookupTable(table, domain, () => {
    pauses++;
    return Promise.resolve();
  });
  expect(pauses).toBe(20);
  expect(lookup.names().size).toBe(4_000);
});
