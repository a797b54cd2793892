// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readHostLimits } from "../../../src/lib/host-limits.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const mib = 2 ** 20;

/** @param files below the mount */
async function read(groups: string, files: Readonly<Record<string, string>>, limits = "") {
  await using directory = await temporaryDirectory();
  const mount = join(directory.path, "mount");
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(mount, path, ".."), { recursive: true });
    await writeFile(join(mount, path), text);
  }
  const paths = { groups: join(directory.path, "cgroup"), limits: join(directory.path, "limits"), mount };
  await writeFile(paths.groups, groups);
  await writeFile(paths.limits, limits);
  return readHostLimits(paths);
}

test.each([
  ["its own group", "0::/\n", { "memory.max": "67108864\n" }, 64],
  [
    "a group above",
    "0::/pod/container\n",
    { "pod/container/memory.max": "max\n", "pod/memory.max": "100663296\n", "memory.max": "max\n" },
    96,
  ],
  [
    "the smallest",
    "0::/pod/container\n",
    { "pod/container/memory.max": "134217728\n", "pod/memory.max": "67108864\n" },
    64,
  ],
  ["a container's own group at the mount", "0::/not/there\n", { "memory.max": "67108864\n" }, 64],
  ["version 1", "4:cpu,memory:/a/b\n", { "memory/a/memory.limit_in_bytes": "67108864\n" }, 64],
])("the memory limit is that of %s", async (_title, groups, files, limitMib) => {
  expect((await read(groups, files)).memoryBytes).toBe(limitMib * mib);
});

test("without a memory limit it is the machine's memory", async () => {
  const unlimited = { "memory.max": "max\n", "memory/memory.limit_in_bytes": "9223372036854771712\n" };
  expect((await read("1:memory:/\n0::/\n", unlimited)).memoryBytes).toBe(totalmem());
  expect((await read("", {})).memoryBytes).toBe(totalmem());
});

test("the agent's reserve is not for peers", async () => {
  const line = "Max open files            1024                 4096                 files\n";
  expect((await read("", {}, line)).openFiles).toBe(960);
  expect((await read("", {}, line.replace("1024", "unlimited"))).openFiles).toBe(1_048_576 - 64);
  expect((await read("", {}, line.replace("1024", "20"))).openFiles).toBe(1);
});
