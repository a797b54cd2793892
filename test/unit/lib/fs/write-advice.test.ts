// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { adviceOnWriteError } from "../../../../src/lib/fs/write-advice.ts";
import { listenUnix } from "../../../../src/lib/net/unix-socket.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

test.each([
  ["ENOSPC", "no space left"],
  ["EROFS", "emptyDir"],
  ["EACCES", "writable for this user"],
])("the advice follows from the system's error: %s", (code, expected) => {
  expect(adviceOnWriteError(Object.assign(new Error(code), { code }))).toContain(expected);
});

test("a file in the place of a socket is to be removed", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "socket");
  writeFileSync(path, "");
  await expect(listenUnix({ path, mode: 0o600 })).rejects.toThrow("something else than a socket is there; remove it");
});
