// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { sha256Hex, shortHash } from "../../../src/lib/content-hash.ts";

test.each([0, 1, 256 * 1024, 256 * 1024 + 1, 1_000_000])(
  "the checksum of %i bytes is that of all of them",
  async (length) => {
    const bytes = Buffer.alloc(length, "attache");
    expect(await sha256Hex(bytes)).toBe(createHash("sha256").update(bytes).digest("hex"));
  },
);

test("other work comes in between", async () => {
  let turns = 0;
  const count = (): void => {
    turns++;
    if (turns < 100) setImmediate(count);
  };
  setImmediate(count);
  await sha256Hex(Buffer.alloc(4 * 1024 * 1024));
  expect(turns).toBeGreaterThan(10);
});

test("a short hash is the beginning of the whole one", async () => {
  const text = "outbound|80||web";
  expect(shortHash(text, 12)).toBe((await sha256Hex(Buffer.from(text))).slice(0, 12));
});
