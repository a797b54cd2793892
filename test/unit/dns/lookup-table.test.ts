// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { Names } from "../../../src/dns/index.ts";
import { formatIp } from "../../../src/lib/net/ip-address.ts";
import type { NamedService } from "../../../src/model/name-table.ts";
import { testBudgets } from "../../support/budgets.ts";
import { kubernetes, lookupTableOf, named, replaceNames, testNames } from "../../support/name-tables.ts";

const search = "ns1.svc.cluster.local.";

/** Which of the names are known, and to what address. */
async function known(table: readonly NamedService[], names: readonly string[]): Promise<readonly string[]> {
  const lookup = await lookupTableOf(table);
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
  const lookup = await lookupTableOf(table);
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
  const names = testNames();
  await replaceNames(names, [
    kubernetes("a", "ns2", ["10.0.0.1"], ["a.alt"]),
    named("www.example", ["1.1.1.1", "nonsense"]),
    named("__proto__", []),
    named("same.example.", ["1.1.1.2"]),
  ]);
  const pieces: string[] = [];
  for await (const piece of names.debugTable() ?? []) pieces.push(piece);
  const { table } = JSON.parse(pieces.join("")) as { readonly table: object };
  const synthetic = { ips: ["10.0.0.1"], registry: "Kubernetes" };
  expect(Object.entries(table).sort()).toEqual(
    Object.entries({
      "a.ns2.svc.cluster.local": { ...synthetic, shortname: "a", namespace: "ns2", alt_hosts: ["a.alt"] },
      "a.ns2.svc.cluster.local.": synthetic,
      "a.ns2.": synthetic,
      "a.ns2.svc.": synthetic,
      "a.alt.": synthetic,
      "www.example": { ips: ["1.1.1.1", "nonsense"], registry: "External" },
      "www.example.": { ips: ["1.1.1.1"], registry: "External" },
      "same.example.": { ips: ["1.1.1.2"], registry: "External" },
      ["__proto__"]: { registry: "External" },
    }).sort(),
  );
});

test("/debug/ndsz shows control characters and marks of text direction as escapes", async () => {
  const names = testNames();
  await replaceNames(names, [named("a\u202e\u0085\u001b[31m.example", ["1.1.1.1\u2028"])]);
  const pieces: string[] = [];
  for await (const piece of names.debugTable() ?? []) pieces.push(piece);
  const text = pieces.join("");
  expect(text).toMatch(/^[\n\x20-\x7e]*$/);
  const { table } = JSON.parse(text) as { readonly table: object };
  expect(Object.keys(table)).toContain("a\u202e\u0085\u001b[31m.example");
});

test("every spelling of an address and every kind of name is the same again in the table", async () => {
  const services = [
    { ...kubernetes("a", "ns2", ["10.0.0.1", "255.255.255.255", "0.0.0.0", "2001:db8::1"], ["a.alt", ""]) },
    named("w.example", ["010.0.0.1", "1.2.3", "1.2.3.4.5", "2001:DB8::1", "::ffff:1.2.3.4", "fe80::1%eth0", ""]),
    named("Ünïcode.example", ["10.0.0.2"], { registry: "Consul", shortName: "x", namespace: "example" }),
    named("", [], { registry: "", shortName: "", namespace: "" }),
    named("label", ["10.0.0.3"], { shortName: "label", namespace: "" }),
    named(
      "many.example",
      Array.from({ length: 1_000 }, (_, i) => `10.1.${String(i >> 8)}.${String(i & 255)}`),
    ),
  ];
  const { store } = await lookupTableOf(services);
  expect(services.map((_, id) => store.service(id))).toEqual(services);
});

test("a table with the names of another resource keeps those of the resource that did not change", async () => {
  const names = testNames();
  const lookups = () =>
    ["a.example.", "b.example.", "c.example."].map((name) => names.lookup.current?.find(name, undefined)?.v4.length);
  const update = async (resources: Readonly<Record<string, readonly NamedService[]>>, kept: readonly string[]) => {
    using next = await names.begin(new AbortController().signal);
    for (const [resource, services] of Object.entries(resources)) {
      for (const service of services) next.add(service);
      next.endResource(resource);
    }
    await next.commit(new Set(kept));
  };
  await update({ one: [named("a.example", ["10.0.0.1"])], two: [named("b.example", ["10.0.0.2"])] }, []);
  expect(lookups()).toEqual([1, 1, undefined]);
  await update({ two: [named("c.example", ["10.0.0.3"])] }, ["one"]);
  expect(lookups()).toEqual([1, undefined, 1]);
  await update({}, ["two"]);
  expect(lookups()).toEqual([undefined, undefined, 1]);
});

test("a later service with the same host replaces an earlier one, and a shared address has the smallest service", async () => {
  const lookup = await lookupTableOf([
    named("a.example", ["10.0.0.1"]),
    named("big.example", ["10.0.0.9", "10.0.0.8", "10.0.0.7"]),
    named("small.example", ["10.0.0.8", "10.0.0.9"]),
    named("equal.example", ["10.0.0.9", "10.0.0.6"]),
    named("a.example", ["10.0.0.2", "10.0.0.3"]),
  ]);
  expect(lookup.find("a.example.", undefined)?.v4).toHaveLength(2);
  const hosts = [1, 2, 6, 7, 8, 9].map((last) => lookup.hostOf(Uint8Array.of(10, 0, 0, last)));
  const [a, big, small, equal] = ["a.example.", "big.example.", "small.example.", "equal.example."];
  expect(hosts).toEqual([undefined, a, equal, big, small, small]);
});

describe("a table of 5,000 services", () => {
  const service = (index: number, version = 0) =>
    kubernetes(`s${String(index)}`, `ns${String(index % 7)}`, [`10.${String(version)}.0.${String(index % 256)}`]);
  const services = Array.from({ length: 5_000 }, (_, index) => service(index));
  const isRight = (names: Names, index: number, version = 0) => {
    const found = names.lookup.current?.find(`s${String(index)}.ns${String(index % 7)}.svc.`, undefined);
    return found?.v4.length === 1 && found.v4[0]?.[1] === version;
  };

  test("that comes again unchanged is the same table", async () => {
    const names = testNames();
    await replaceNames(names, services);
    const before = names.lookup.current;
    await replaceNames(names, services);
    expect(names.lookup.current).toBe(before);
  });

  test("of which a part changes again and again resolves each name, and stays as small as a new one", async () => {
    const names = testNames();
    const current = [...services];
    await replaceNames(names, current);
    for (let round = 1; round <= 30; round++) {
      for (let index = round; index < current.length; index += 30) current[index] = service(index, round);
      await replaceNames(names, current);
    }
    const wrong = current.findIndex((_, index) => !isRight(names, index, index % 30 || (index === 0 ? 0 : 30)));
    expect(wrong).toBe(-1);
    const bytes = names.lookup.current?.store.chunks.reduce((sum, chunk) => sum + (chunk?.usedBytes ?? 0), 0) ?? 0;
    const live = names.lookup.current?.store.chunks.reduce((sum, chunk) => sum + (chunk?.liveBytes ?? 0), 0) ?? 0;
    expect(bytes).toBeLessThan(3 * live + 2 ** 20);
  }, 60_000);

  test("that is too large is rejected with the limit's name, and the previous one stays", async () => {
    const names = testNames(testBudgets({ "nds-table-bytes": 50_000 }));
    await replaceNames(names, services.slice(0, 10));
    await expect(replaceNames(names, services)).rejects.toThrow("limit nds-table-bytes of 50000 bytes is reached");
    expect([isRight(names, 9), isRight(names, 10)]).toEqual([true, false]);
  });
});
