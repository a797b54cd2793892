// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { eventFiles, parseMemoryEvents, readMemoryEvents } from "../../../src/host/memory-events.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("memory events", () => {
  test("version 2 has kills and hits of the limit", () => {
    const text = "low 0\nhigh 12\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n";
    expect(parseMemoryEvents(text)).toEqual({ oomKills: 2, limitHits: 7 });
  });

  test("version 1 has kills", () => {
    expect(parseMemoryEvents("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")).toEqual({ oomKills: 4, limitHits: 0 });
  });

  test.each([
    ["0::/", ["/m/memory.events", "/m/memory.events"]],
    ["0::/kubepods/pod1/c1", ["/m/kubepods/pod1/c1/memory.events", "/m/memory.events"]],
    ["9:memory:/docker/x\n1:cpu:/y", ["/m/memory/docker/x/memory.oom_control", "/m/memory/memory.oom_control"]],
    ["4:cpu,memory:/a\n", ["/m/memory/a/memory.oom_control", "/m/memory/memory.oom_control"]],
    ["", []],
  ])("groups %j are looked for at %j", (groups, files) => {
    expect(eventFiles(groups, "/m")).toEqual(files);
  });

  test("a container sees its own group at the mount, whatever path the machine knows it by", async () => {
    await using directory = await temporaryDirectory();
    const groups = join(directory.path, "cgroup");
    const mount = join(directory.path, "mount");
    await mkdir(mount);
    await writeFile(groups, "0::/kubepods/pod1/c1\n");
    expect(await readMemoryEvents({ groups, mount })).toBeUndefined();
    await writeFile(join(mount, "memory.events"), "max 1\noom_kill 5\n");
    expect(await readMemoryEvents({ groups, mount })).toEqual({ oomKills: 5, limitHits: 1 });
    expect(await readMemoryEvents({ groups: join(directory.path, "absent"), mount })).toBeUndefined();
  });
});
