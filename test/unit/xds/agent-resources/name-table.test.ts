// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { TimeSlice } from "../../../../src/lib/async/time-slice.ts";
import type { NamedService } from "../../../../src/model/name-table.ts";
import { createNameTable } from "../../../../src/xds/agent-resources/name-table.ts";
import { type AgentResourceType, pushResources } from "../../../../src/xds/agent-resources/agent-resource-type.ts";
import { bytesField } from "../../../../src/xds/protocol/wire.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { kubernetes, named, nameTableResource } from "../../../support/name-tables.ts";

const signal = new AbortController().signal;

/** The resource type, and the tables that were committed. */
function tables(budgets = testBudgets()): { readonly type: AgentResourceType; readonly published: NamedService[][] } {
  const published: NamedService[][] = [];
  const begin = () => {
    const added: NamedService[] = [];
    return Promise.resolve({
      add: (service: NamedService) => added.push(service),
      endResource: () => undefined,
      commit: () => {
        published.push(added);
        return Promise.resolve();
      },
      [Symbol.dispose]: () => undefined,
    });
  };
  return { type: createNameTable({ budgets, begin }), published };
}

async function apply(type: AgentResourceType, resources: ReadonlyMap<string, Uint8Array>): Promise<void> {
  using update = await type.begin(signal);
  await pushResources(update, resources, new TimeSlice(systemClock));
  await update.commit(new Set());
}

const response = (...services: readonly NamedService[]): ReadonlyMap<string, Uint8Array> =>
  new Map([["0", nameTableResource(services).value]]);

test("a name table is read with every field, whole however large it is", async () => {
  const { type, published } = tables();
  const service = kubernetes("web", "shop", ["10.0.0.1", "2001:db8::1"], ["web.shop.svc.clusterset.local"]);
  await apply(type, response(service, named("www.example.com", ["240.0.0.1"])));
  expect(published).toEqual([[service, named("www.example.com", ["240.0.0.1"])]]);
  const many = Array.from({ length: 1_001 }, (_, i) => named(`host-${String(i)}.example.com`, ["240.0.0.1"]));
  await apply(type, response(...many));
  expect(published[1]).toEqual(many);
});

test("a name table that is received byte by byte is read like a whole one", async () => {
  const { type, published } = tables();
  const services = [kubernetes("web", "shop", ["10.0.0.1"]), named("", []), named("www.example.com", ["240.0.0.1"])];
  const unknown = bytesField(99, Buffer.alloc(300));
  const bytes = Buffer.concat([unknown, nameTableResource(services).value, Buffer.from([0x40, 0x96, 0x01])]);
  using update = await type.begin(signal);
  for (const byte of bytes) update.push(Uint8Array.of(byte));
  update.endResource("");
  await update.commit(new Set());
  expect(published).toEqual([services]);
});

test("a response without a table is ignored before the first table, and removes the names after it", async () => {
  const { type, published } = tables();
  await apply(type, new Map());
  expect(published).toEqual([]);
  await apply(type, response());
  expect(published).toEqual([[]]);
  await apply(type, response(named("a.example.com", ["240.0.0.1"])));
  await apply(type, new Map());
  expect(published.slice(2)).toEqual([[]]);
});

test("a malformed table is rejected, and the previous one stays", async () => {
  const { type, published } = tables();
  await apply(type, response(named("a.example.com", ["240.0.0.1"])));
  const { value } = nameTableResource([named("b.example.com", ["240.0.0.1"])]);
  const cut = new Map([["0", value.subarray(0, value.length - 3)]]);
  await expect(apply(type, cut)).rejects.toThrow(/truncated field/);
  const malformedEntry = new Map([["0", bytesField(1, Buffer.from([0x0a, 0x7f]))]]);
  await expect(apply(type, malformedEntry)).rejects.toThrow(/malformed entry of a name table/);
  expect(published).toHaveLength(1);
});

test.each([
  ["nds-services", 2, [named("a", []), named("b", []), named("c", [])]],
  ["nds-addresses", 2, [named("a", ["10.0.0.1", "10.0.0.2"]), named("b", ["10.0.0.3"])]],
  [
    "nds-service-fields",
    10,
    [
      named(
        "a",
        Array.from({ length: 11 }, () => "10.0.0.1"),
      ),
    ],
  ],
  ["nds-service-bytes", 100, [named("a".repeat(100), [])]],
] as const)("a name table over the limit %s is rejected with the limit's name", async (limit, size, services) => {
  const { type, published } = tables(testBudgets({ [limit]: size }));
  await expect(apply(type, response(...services))).rejects.toThrow(`limit ${limit} of ${String(size)}`);
  expect(published).toEqual([]);
});
