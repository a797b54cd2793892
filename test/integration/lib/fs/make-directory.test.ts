// SPDX-License-Identifier: Apache-2.0
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeDirectorySync } from "../../../../src/lib/fs/make-directory.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

test("what is missing is made with the mode, also several levels deep; what is there stays", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "a/b/c");
  makeDirectorySync(path, 0o700);
  makeDirectorySync(path, 0o755);
  expect([statSync(path), statSync(join(path, ".."))].map(({ mode }) => mode & 0o777)).toEqual([0o700, 0o700]);
});

test("a path with .. whose parents do not exist is made as it is written", async () => {
  await using directory = await temporaryDirectory();
  const path = `${directory.path}/run/istio/../proxy`;
  makeDirectorySync(path, 0o700);
  makeDirectorySync(`${directory.path}/a/../b/../c`, 0o700);
  expect(
    [path, join(directory.path, "run/proxy"), join(directory.path, "c")].map((at) => statSync(at).isDirectory()),
  ).toEqual([true, true, true]);
});

test("a place where nothing can be made is an error at once", async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, "file");
  writeFileSync(file, "");
  expect(() => {
    makeDirectorySync("/proc/nowhere/deep", 0o700);
  }).toThrow(/ENOENT/);
  expect(() => {
    makeDirectorySync(join(file, "deep"), 0o700);
  }).toThrow(/ENOTDIR/);
  expect(() => {
    makeDirectorySync(file, 0o700);
  }).toThrow(/EEXIST/);
});
