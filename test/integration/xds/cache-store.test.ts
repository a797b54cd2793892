// SPDX-License-Identifier: Apache-2.0
import { readdir } from "node:fs/promises";
import { expect, test } from "vitest";
import { CacheStore } from "../../../src/xds/cache/cache-store.ts";
import type { RecordHead } from "../../../src/xds/cache/cache-record.ts";
import { renderResponse } from "../../../src/xds/protocol/response.ts";
import { bytesField, textField } from "../../../src/xds/protocol/wire.ts";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { testBudgets } from "../../support/budgets.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const nowMs = Date.UTC(2026, 10, 30);
const hourMs = 3_600_000;
const typeUrl = typeUrls.cluster;
const head: RecordHead = {
  format: 1,
  api: "v3",
  nodeId: "n",
  typeUrl,
  protocol: "delta",
  savedAtMs: nowMs,
  isWhole: false,
};

function response(name: string, version: string, bytes = 10): Uint8Array {
  const any = Buffer.concat([textField(1, typeUrl), bytesField(2, Buffer.alloc(bytes))]);
  return renderResponse({ typeUrl, version, nonce: "", resources: [{ name, version, any }], removed: [] }, "delta");
}

async function keep(store: CacheStore, bytes: Uint8Array, facts: Partial<RecordHead> = {}): Promise<void> {
  const record = store.begin({ ...head, ...facts });
  await record.add(bytes);
  await store.keep(record);
}

test.each([
  ["as it should be", nowMs, true],
  ["a little ahead, after a correction of the clock", nowMs + 60_000, true],
  ["an hour ahead: nothing shows how old it is", nowMs + hourMs, false],
  ["too old", nowMs - 2 * hourMs, false],
])("the clock of a record is %s", async (_, savedAtMs, isUsed) => {
  await using directory = await temporaryDirectory();
  const store = new CacheStore(directory.path, testBudgets());
  await keep(store, response("a", "1"), { savedAtMs });
  const loading = store.load("n", { nowMs, maxAgeMs: hourMs });
  if (isUsed) expect((await loading)?.types.get(typeUrl)?.version).toBe("1");
  else await expect(loading).rejects.toThrow(/it is too old|in the future: its age is not known/);
});

test("a record that does not fit is dropped, and the older ones stay; a budget that has become smaller ends their use", async () => {
  await using directory = await temporaryDirectory();
  const budgets = testBudgets({ "xds-cache-bytes": 10_000 });
  const store = new CacheStore(directory.path, budgets);
  await keep(store, response("a", "1", 6_000));
  await keep(store, response("b", "2", 6_000));
  await keep(store, response("c", "3", 20_000));
  const state = await store.load("n", { nowMs, maxAgeMs: hourMs });
  expect([...(state?.types.get(typeUrl)?.resources.keys() ?? [])]).toEqual(["a"]);
  expect(await readdir(directory.path)).toHaveLength(1);
  expect(budgets.facts().find(({ name }) => name === "xds-cache-bytes")).toMatchObject({ used: 0, spentTotal: 2 });
  const small = new CacheStore(directory.path, testBudgets({ "xds-cache-bytes": 5_000 }));
  await expect(small.load("n", { nowMs, maxAgeMs: hourMs })).rejects.toThrow("limit xds-cache-bytes of 5000 bytes");
});

test("with too many records of a type they are merged into one", async () => {
  await using directory = await temporaryDirectory();
  const store = new CacheStore(directory.path, testBudgets({ "xds-cache-records": 3 }));
  for (const [index, name] of ["a", "b", "a", "c"].entries()) await keep(store, response(name, String(index)));
  expect(await readdir(directory.path)).toHaveLength(1);
  const state = await store.load("n", { nowMs, maxAgeMs: hourMs });
  expect(Array.from(state?.types.get(typeUrl)?.resources ?? [], ([name, { version }]) => `${name}@${version}`)).toEqual(
    ["a@2", "b@1", "c@3"],
  );
});
