// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import type { NameTable } from "../../../../src/model/name-table.ts";
import { createNameTable } from "../../../../src/xds/agent-resources/name-table.ts";
import type { AgentResourceType } from "../../../../src/xds/agent-resources/agent-resource-type.ts";
import { bytesField } from "../../../../src/xds/protocol/wire.ts";
import { kubernetes, named, nameTableResource } from "../../../support/name-tables.ts";

const signal = new AbortController().signal;

function tables(): { readonly type: AgentResourceType; readonly published: NameTable[] } {
  const published: NameTable[] = [];
  const publish = (table: NameTable): Promise<void> => {
    published.push(table);
    return Promise.resolve();
  };
  return { type: createNameTable({ clock: systemClock, publish }), published };
}

const response = (...services: NameTable): ReadonlyMap<string, Uint8Array> =>
  new Map([["0", nameTableResource(services).value]]);

test("a name table is read with every field, whole however large it is", async () => {
  const { type, published } = tables();
  const service = kubernetes("web", "shop", ["10.0.0.1", "2001:db8::1"], ["web.shop.svc.clusterset.local"]);
  await type.apply(response(service, named("www.example.com", ["240.0.0.1"])), signal);
  expect(published).toEqual([[service, named("www.example.com", ["240.0.0.1"])]]);
  const many = Array.from({ length: 1_001 }, (_, i) => named(`host-${String(i)}.example.com`, ["240.0.0.1"]));
  await type.apply(response(...many), signal);
  expect(published[1]).toEqual(many);
});

test("a response without a table is ignored before the first table, and removes the names after it", async () => {
  const { type, published } = tables();
  await type.apply(new Map(), signal);
  expect(published).toEqual([]);
  await type.apply(response(), signal);
  expect(published).toEqual([[]]);
  await type.apply(response(named("a.example.com", ["240.0.0.1"])), signal);
  await type.apply(new Map(), signal);
  expect(published.slice(2)).toEqual([[]]);
});

test("a malformed table is rejected, and the previous one stays", async () => {
  const { type, published } = tables();
  await type.apply(response(named("a.example.com", ["240.0.0.1"])), signal);
  const { value } = nameTableResource([named("b.example.com", ["240.0.0.1"])]);
  const cut = new Map([["0", value.subarray(0, value.length - 3)]]);
  await expect(type.apply(cut, signal)).rejects.toThrow(/truncated field/);
  const malformedEntry = new Map([["0", bytesField(1, Buffer.from([0x0a, 0x7f]))]]);
  await expect(type.apply(malformedEntry, signal)).rejects.toThrow(/malformed entry of a name table/);
  expect(published).toHaveLength(1);
});

test("a table of 30,000 services is read in blocks of 200, with a pause after each", async () => {
  const many = Array.from({ length: 30_000 }, (_, i) => named(`host-${String(i)}.example.com`, ["240.0.0.1"]));
  let pauses = 0;
  const delay = (): Promise<void> => {
    pauses++;
    return Promise.resolve();
  };
  const type = createNameTable({ clock: { ...systemClock, delay }, publish: () => Promise.resolve() });
  await type.apply(response(...many), signal);
  expect(pauses).toBe(150);
});
