// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createUsageReader } from "../../../src/lib/memory-usage.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** @param files below the mount */
async function reader(groups: string, files: Readonly<Record<string, string>>) {
  const directory = await temporaryDirectory();
  const mount = join(directory.path, "mount");
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(join(mount, path, ".."), { recursive: true });
    await writeFile(join(mount, path), text);
  };
  for (const [path, text] of Object.entries(files)) await write(path, text);
  const groupsPath = join(directory.path, "cgroup");
  await writeFile(groupsPath, groups);
  const read = createUsageReader({ groups: groupsPath, mount });
  return { read, write, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

test.each([
  [
    "version 2",
    "0::/\n",
    {
      "memory.max": "67108864\n",
      "memory.current": "50000000\n",
      "memory.stat": "anon 30000000\nfile 15000000\nsock 1000000\ninactive_file 9000000\nactive_file 4000000\n",
    },
  ],
  [
    "version 1",
    "4:memory:/a\n",
    {
      "memory/a/memory.limit_in_bytes": "67108864\n",
      "memory/a/memory.usage_in_bytes": "50000000\n",
      "memory/a/memory.stat":
        "cache 1\ninactive_file 1\nactive_file 1\ntotal_inactive_file 9000000\ntotal_active_file 4000000\n",
    },
  ],
])("with control groups of %s, what is used is without the cache of files", async (_title, groups, files) => {
  await using group = await reader(groups, files);
  expect(group.read()).toBe(37_000_000);
});

test("the group with the smallest limit is read, each time anew", async () => {
  const stat = "inactive_file 0\nactive_file 0\n";
  await using group = await reader("0::/pod/container\n", {
    "pod/memory.max": "67108864\n",
    "pod/memory.current": "40000000\n",
    "pod/memory.stat": stat,
    "pod/container/memory.max": "max\n",
    "pod/container/memory.current": "10000000\n",
    "pod/container/memory.stat": stat,
  });
  expect(group.read()).toBe(40_000_000);
  await group.write("pod/memory.current", "41000000\n");
  expect(group.read()).toBe(41_000_000);
});

test("without a limit, or without control groups, there is nothing to read", async () => {
  await using unlimited = await reader("0::/\n", { "memory.max": "max\n", "memory.current": "1\n" });
  expect(unlimited.read()).toBeUndefined();
  await using none = await reader("", {});
  expect(none.read()).toBeUndefined();
});
