// SPDX-License-Identifier: Apache-2.0
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findWatchdog } from "../../../src/envoy/parent-death-watchdog.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("a setpriv that knows the parent-death signal comes before a shell, one that does not is passed over", async () => {
  await using directory = await temporaryDirectory();
  const able = join(directory.path, "able");
  const unable = join(directory.path, "unable");
  const shell = join(directory.path, "sh");
  await writeFile(able, "\u0000--pdeathsig\u0000");
  await writeFile(unable, "\u0000--nnp\u0000");
  await writeFile(shell, "");
  for (const path of [able, unable, shell]) await chmod(path, 0o755);

  expect(findWatchdog({ setpriv: ["/nowhere", unable, able], shell: [shell] })).toEqual({
    kind: "setpriv",
    path: able,
  });
  expect(findWatchdog({ setpriv: [unable], shell: ["/nowhere", shell] })).toEqual({ kind: "shell", path: shell });
  expect(findWatchdog({ setpriv: [unable], shell: [] })).toEqual({ kind: "none" });
});
