// SPDX-License-Identifier: Apache-2.0
import {
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  closeSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeFileAtomicSync } from "../../../../src/lib/fs/atomic-file.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test("a file has its mode whatever the umask is, in folders for its owner alone", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "a/b/f");
  const before = process.umask(0o077);
  try {
    writeFileAtomicSync(path, "text", 0o644);
  } finally {
    process.umask(before);
  }
  expect([modeOf(path), modeOf(join(directory.path, "a")), modeOf(join(directory.path, "a/b"))]).toEqual([
    "644",
    "700",
    "700",
  ]);
  writeFileAtomicSync(path, Buffer.from("secret"), 0o600);
  expect([modeOf(path), readFileSync(path, "utf8")]).toEqual(["600", "secret"]);
});

test("who reads while it is replaced keeps the old content", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "f");
  writeFileAtomicSync(path, "old content", 0o600);
  const reader = openSync(path, "r");
  try {
    writeFileAtomicSync(path, "new", 0o600);
    const bytes = Buffer.alloc(20);
    expect(bytes.subarray(0, readSync(reader, bytes)).toString()).toBe("old content");
  } finally {
    closeSync(reader);
  }
  expect(readFileSync(path, "utf8")).toBe("new");
  expect(readdirSync(directory.path)).toEqual(["f"]);
});

test("what cannot be written leaves nothing behind", async () => {
  await using directory = await temporaryDirectory();
  mkdirSync(join(directory.path, "taken/by"), { recursive: true });
  expect(() => {
    writeFileAtomicSync(join(directory.path, "taken"), "text", 0o600);
  }).toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
  expect(readdirSync(directory.path)).toEqual(["taken"]);
});

test("a write succeeds beside every temporary file that a killed process of the same id can have left", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "f");
  const leftovers = Array.from({ length: 200 }, (_, serial) => `f.${String(process.pid)}.${String(serial)}.tmp`);
  for (const name of leftovers) writeFileSync(join(directory.path, name), "");
  writeFileAtomicSync(path, "text", 0o600);
  expect(readFileSync(path, "utf8")).toBe("text");
});

test("the first write removes old temporary files of the target, and nothing else", async () => {
  await using directory = await temporaryDirectory();
  const old = ["f.1.0.tmp", "f.0123456789ab.tmp"];
  const kept = [
    "f.2.0.tmp",
    "f.zyxwvutsrqpo.tmp",
    "f.backup.tmp",
    "f.1.0",
    "g.1.0.tmp",
    "ff.1.0.tmp",
    "f.json.1.0.tmp",
  ];
  const minutesAgo = new Date(Date.now() - 2 * 60_000);
  for (const name of [...old, ...kept]) writeFileSync(join(directory.path, name), "");
  for (const name of [...old, ...kept.slice(2)]) utimesSync(join(directory.path, name), minutesAgo, minutesAgo);
  writeFileAtomicSync(join(directory.path, "f"), "text", 0o600);
  expect(readdirSync(directory.path).sort()).toEqual(["f", ...kept].sort());
});
