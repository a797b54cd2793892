// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  lstatSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { makeDirectorySync } from "./make-directory.ts";
import { assertTrustedLinksSync, NotPrivateError } from "./private-file.ts";

/** What follows the target's name in a temporary file's name; the second form is that of earlier versions. */
const temporarySuffix = /^\.(?:[0-9a-z]{12}|\d+\.\d+)\.tmp$/;

/** A write takes milliseconds: a temporary file older than this belongs to a process that was killed. */
const leftoverAgeMs = 60_000;

/** Targets whose leftovers were looked for in this process. */
const swept = new Set<string>();

/** The user that a file belongs to. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Replaces a file in one step: a reader sees the old content or the new, never a part. Mode and owner are set on
 * the open file before the first byte is written, never by path: in a directory of another user, a path may lead to any
 * file by then. Missing parent directories are created with mode 0700. Synchronous, for small files only. Not
 * flushed to the disk: these files are written again at each start. The first write to a path removes temporary files
 * that killed processes have left beside it.
 * @throws NotPrivateError when a link on the way may be another user's; the system's error. No temporary file is left then
 */
export function writeFileAtomicSync(path: string, data: string | Uint8Array, mode: number, owner?: FileOwner): void {
  makeDirectorySync(dirname(path), 0o700);
  const directory = assertTrustedLinksSync(dirname(path));
  const temporary = `${path}.${randomText()}.tmp`;
  const descriptor = openSync(temporary, "wx", mode);
  try {
    try {
      assertInside(descriptor, directory);
      fchmodSync(descriptor, mode);
      if (owner !== undefined) fchownSync(descriptor, owner.uid, owner.gid);
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      for (let written = 0; written < bytes.length; ) {
        written += writeSync(descriptor, bytes, written);
      }
      if (!swept.has(path)) removeLeftovers(path, fstatSync(descriptor).mtimeMs);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** A directory on the way may have been replaced by a link after the check of the path. */
function assertInside(descriptor: number, directory: string): void {
  const opened = readlinkSync(`/proc/self/fd/${String(descriptor)}`);
  if (dirname(opened) !== directory) throw new NotPrivateError(directory, `it was replaced by a link to ${opened}`);
}

/** Twelve letters and digits. `node:crypto` would take milliseconds to load before Envoy's exec. */
export function randomText(): string {
  return (Math.random() * 36 ** 12).toString(36).slice(0, 12).replace(".", "0").padStart(12, "0");
}

/**
 * A young temporary file may be that of a process that is writing now, in another container too: it stays.
 * @param nowMs by the file system's clock
 */
function removeLeftovers(path: string, nowMs: number): void {
  swept.add(path);
  const folder = dirname(path);
  const target = basename(path);
  try {
    for (const name of readdirSync(folder)) {
      if (!name.startsWith(target) || !temporarySuffix.test(name.slice(target.length))) continue;
      const leftover = join(folder, name);
      const { mtimeMs } = lstatSync(leftover);
      if (nowMs - mtimeMs > leftoverAgeMs) rmSync(leftover, { force: true });
    }
  } catch {
    // Leftovers are harmless; the write must not fail because of them.
  }
}
