// SPDX-License-Identifier: Apache-2.0
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { chunksOf, fileSha256, openPlainFile, TemporaryFile } from "../../../../src/lib/fs/temporary-file.ts";
import { shortHash } from "../../../../src/lib/content-hash.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

async function read(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

test("a file has its name when it is complete, with its mode, and none before", async () => {
  await using directory = await temporaryDirectory();
  const folder = join(directory.path, "a/b");
  const path = join(folder, "f");
  const content = Buffer.alloc(200_000, "x");
  const before = process.umask(0o077);
  try {
    await using file = await TemporaryFile.create(folder, 0o644);
    await file.write(content.subarray(0, 70_000));
    await file.write(content.subarray(70_000));
    expect(file.bytes).toBe(200_000);
    expect(await readdir(folder)).toEqual([expect.stringMatching(/^[0-9a-z]{12}\.tmp$/)]);
    expect(await read(file.chunks())).toEqual(content);
    await file.moveTo(path);
  } finally {
    process.umask(before);
  }
  expect(await readdir(folder)).toEqual(["f"]);
  expect(await readFile(path)).toEqual(content);
  expect((await stat(path)).mode & 0o777).toBe(0o644);
});

test("a file that gets no name is gone, and what was there stays", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "f");
  await writeFile(path, "old");
  const file = await TemporaryFile.create(directory.path, 0o600);
  await file.write(Buffer.from("new"));
  await file[Symbol.asyncDispose]();
  await file[Symbol.asyncDispose]();
  expect(await readdir(directory.path)).toEqual(["f"]);
  expect(await readFile(path, "utf8")).toBe("old");
});

test("a file is begun again", async () => {
  await using directory = await temporaryDirectory();
  await using file = await TemporaryFile.create(directory.path, 0o600);
  await file.write(Buffer.from("a long beginning"));
  await file.restart();
  await file.write(Buffer.from("other"));
  expect((await read(file.chunks())).toString()).toBe("other");
  expect(file.bytes).toBe(5);
});

test("a file that cannot be created is the system's error", async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, "file"), "");
  await expect(TemporaryFile.create(join(directory.path, "file/x"), 0o600)).rejects.toThrow("ENOTDIR");
});

test("only ordinary files up to a size are opened, and hashed as one text is", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "f");
  const content = Buffer.alloc(150_000, "y");
  await writeFile(path, content);
  await symlink(path, join(directory.path, "link"));
  await mkdir(join(directory.path, "folder"));
  await using file = await openPlainFile(path, 150_000);
  if (file === undefined) throw new Error("no file");
  expect(await fileSha256(file)).toBe(shortHash(content, 64));
  expect(await read(chunksOf(file))).toEqual(content);
  expect(await openPlainFile(path, 149_999)).toBeUndefined();
  for (const name of ["link", "folder", "missing"]) {
    expect(await openPlainFile(join(directory.path, name), 1_000_000)).toBeUndefined();
  }
});
