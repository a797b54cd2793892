// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import type { NameTable } from "../../../../src/model/name-table.ts";
import { createNameTable } from "../../../../src/xds/agent-resources/name-table.ts";
import type { OwnType } from "../../../../src/xds/agent-resources/agent-resource-type.ts";
import { kubernetes, named, nameTableResource } from "../../../support/name-tables.ts";

const signal = new AbortController().signal;

function tables(): { readonly type: OwnType; readonly published: NameTable[] } {
  const published: NameTable[] = [];
  const publish = (table: NameTable): Promise<void> => {
    published.push(table);
    return Promise.resolve();
  };
  return { type: createNameTable({ clock: systemClock, publish }), published };
}

const answer = (...services: NameTable): ReadonlyMap<string, Uint8Array> =>
  new Map([["0", nameTableResource(services).value]]);

test("a name table is read with every field, whole however large it is", async () => {
  const { type, published } = tables();
  const service = kubernetes("web", "shop", ["10.0.0.1", "2001:db8::1"], ["web.shop.svc.clusterset.local"]);
  await type.apply(answer(service, named("www.example.com", ["240.0.0.1"])), signal);
  expect(published).toEqual([[service, named("www.example.com", ["240.0.0.1"])]]);
  const many = Array.from({ length: 1_001 }, (_, i) => named(`host-${String(i)}.example.com`, ["240.0.0.1"]));
  await type.apply(answer(...many), signal);
  expect(published[1]).toEqual(many);
});

test("an answer without a table says nothing before the first table, and takes it back after", async () => {
  const { type, published } = tables();
  await type.apply(new Map(), signal);
  expect(published).toEqual([]);
  await type.apply(answer(), signal);
  expect(published).toEqual([[]]);
  await type.apply(answer(named("a.example.com", ["240.0.0.1"])), signal);
  await type.apply(new Map(), signal);
  expect(published.slice(2)).toEqual([[]]);
});

test("a table that is no message is refused, and the one of before stays", async () => {
  const { type, published } = tables();
  await type.apply(answer(named("a.example.com", ["240.0.0.1"])), signal);
  const { value } = nameTableResource([named("b.example.com", ["240.0.0.1"])]);
  const cut = new Map([["0", value.subarray(0, value.length - 3)]]);
  await expect(type.apply(cut, signal)).rejects.toThrow(/ends inside a field/);
  expect(published).toHaveLength(1);
});
