// SPDX-License-Identifier: Apache-2.0
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createWorkDirectory } from "../../../src/dev/work-directory.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("a temporary directory is private to its user, and is removed", async () => {
  let path: string;
  {
    await using directory = await createWorkDirectory(undefined);
    path = directory.path;
    expect((await stat(path)).mode & 0o777).toBe(0o700);
    expect(await readdir(path)).toEqual(["api", "web"]);
  }
  await expect(stat(path)).rejects.toThrow("ENOENT");
});

test("a directory to keep is created, stays, and serves a second run", async () => {
  await using parent = await temporaryDirectory();
  const path = join(parent.path, "a/b");
  for (let run = 0; run < 2; run++) {
    const directory = await createWorkDirectory(path);
    await directory[Symbol.asyncDispose]();
    expect(await readdir(path)).toContain("web");
  }
});

test("a directory with other files is rejected before anything is written", async () => {
  await using parent = await temporaryDirectory();
  await writeFile(join(parent.path, "letter"), "");
  await expect(createWorkDirectory(parent.path)).rejects.toThrow("it has other files");
  expect(await readdir(parent.path)).toEqual(["letter"]);
  await expect(createWorkDirectory(join(parent.path, "letter/below"))).rejects.toThrow("it cannot be created");
});
