// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Spool } from "../../../../src/diagnosis/bundle/archive/spool.ts";
import { writeTar } from "../../../../src/diagnosis/bundle/archive/tar.ts";

function tarOf(name: string, content: string, bytes = Buffer.byteLength(content)): Buffer {
  const chunks = (): Uint8Array[] => [Buffer.from(content)];
  return Buffer.concat([...writeTar([{ name, bytes, modifiedAtMs: 1_000_000, chunks }])]);
}

function field(archive: Buffer, start: number, length: number): string {
  return archive.toString("latin1", start, start + length).replace(/\0.*$/, "");
}

test("a file has its name, mode, size and checksum, and ends at a block", () => {
  const archive = tarOf("a/b.txt", "hello");
  expect(archive.length).toBe(512 * 4);
  expect([field(archive, 0, 100), field(archive, 100, 8), field(archive, 124, 12)]).toEqual([
    "a/b.txt",
    "0000600",
    "00000000005",
  ]);
  const header = Buffer.from(archive.subarray(0, 512)).fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  expect(Number.parseInt(field(archive, 148, 8), 8)).toBe(sum);
  expect(archive.toString("utf8", 512, 517)).toBe("hello");
});

test("a long name is divided at a slash", () => {
  const directory = "d".repeat(150);
  const archive = tarOf(`${directory}/${"f".repeat(90)}`, "");
  expect(field(archive, 0, 100)).toBe("f".repeat(90));
  expect(field(archive, 345, 155)).toBe(directory);
});

test.each([
  ["a name without a slash that is too long", "n".repeat(101), ""],
  ["a directory that is too long", `${"d".repeat(156)}/f`, ""],
])("%s is an error", (_, name, content) => {
  expect(() => tarOf(name, content)).toThrow("too long");
});

test("content of another size than announced is an error", () => {
  expect(() => tarOf("a", "abc", 4)).toThrow("has 3 bytes, not 4");
});

test("a size that has no place is an error", () => {
  expect(() => tarOf("a", "", 8 ** 11)).toThrow("too large");
});

test("a spool gives back what was written, in its order, as often as it is read", () => {
  const spool = new Spool();
  const parts = Array.from({ length: 50 }, (_, index) => `${String(index)} ${"text ".repeat(3_000)}`);
  for (const part of parts) spool.write(part);
  expect(spool.bytes).toBe(parts.join("").length);
  expect(spool.text()).toBe(parts.join(""));
  expect(spool.text()).toBe(parts.join(""));
  spool.write(Buffer.from("more"));
  expect(spool.text().endsWith("more")).toBe(true);
});
