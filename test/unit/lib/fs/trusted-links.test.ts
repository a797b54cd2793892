// SPDX-License-Identifier: Apache-2.0
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeFileAtomicSync } from "../../../../src/lib/fs/atomic-file.ts";
import { makeDirectorySync } from "../../../../src/lib/fs/make-directory.ts";
import { assertTrustedLinksSync, NotPrivateError } from "../../../../src/lib/fs/private-file.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const other = 1_337;

/** `mine`, a directory of this user, and `theirs`, which another user may write and has a link to it. */
async function setUp() {
  const directory = await temporaryDirectory();
  const [mine, theirs] = [join(directory.path, "mine"), join(directory.path, "theirs")];
  mkdirSync(mine, { mode: 0o700 });
  mkdirSync(theirs);
  symlinkSync("../mine", join(theirs, "link"));
  return { directory, mine, theirs, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

const isRoot = process.getuid?.() === 0;

test.runIf(isRoot)(
  "nothing is written through another user's link in a directory that this user may write",
  async () => {
    await using it = await setUp();
    chmodSync(it.theirs, 0o777);
    lchownSync(join(it.theirs, "link"), other, other);
    for (const path of ["link/f", "link/deeper/f", "link/../mine/f"]) {
      expect(() => {
        writeFileAtomicSync(`${it.theirs}/${path}`, "text", 0o600);
      }, path).toThrow(NotPrivateError);
    }
    expect(() => {
      makeDirectorySync(join(it.theirs, "link/made"), 0o700);
    }).toThrow(/is a link of another user \(uid 1337\) in a directory that others may write/);
    expect(readdirSync(it.mine)).toEqual([]);
  },
);

test.runIf(isRoot)("nothing is written through another user's link in a directory of that user", async () => {
  await using it = await setUp();
  chownSync(it.theirs, other, other);
  lchownSync(join(it.theirs, "link"), other, other);
  expect(() => assertTrustedLinksSync(join(it.theirs, "link"))).toThrow(NotPrivateError);
});

test("links of this user, and of others in directories of this user alone, are followed", async () => {
  await using it = await setUp();
  chmodSync(it.theirs, 0o777);
  writeFileAtomicSync(join(it.theirs, "link/f"), "text", 0o600);
  expect(readFileSync(join(it.mine, "f"), "utf8")).toBe("text");
  expect(assertTrustedLinksSync(`${it.theirs}/link/../mine/./new`)).toBe(join(realpathSync(it.mine), "new"));
  chmodSync(it.theirs, 0o755);
  if (isRoot) lchownSync(join(it.theirs, "link"), other, other);
  writeFileAtomicSync(join(it.theirs, "link/f"), "more", 0o600);
  expect(readFileSync(join(it.mine, "f"), "utf8")).toBe("more");
});

test("a loop of links ends", async () => {
  await using it = await setUp();
  symlinkSync("b", join(it.theirs, "a"));
  symlinkSync("a", join(it.theirs, "b"));
  expect(() => assertTrustedLinksSync(join(it.theirs, "a"))).toThrow(/too many links/);
});
