// SPDX-License-Identifier: Apache-2.0
import { closeSync, fchmodSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { makeDirectorySync } from "./make-directory.ts";

let serial = 0;

/**
 * Replaces a file in one step: a reader sees the old content or the new, never a part. The mode is set before the
 * first byte is written. Parent directories are made with mode 0700. Synchronous: for small files only. Not flushed to
 * the disk: what is written here is made anew at each start.
 * @throws the system's error, with nothing left behind
 */
export function writeFileAtomicSync(path: string, data: string | Uint8Array, mode: number): void {
  makeDirectorySync(dirname(path), 0o700);
  const temporary = `${path}.${String(process.pid)}.${String(serial++)}.tmp`;
  const descriptor = openSync(temporary, "wx", mode);
  try {
    try {
      fchmodSync(descriptor, mode);
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      for (let written = 0; written < bytes.length; ) {
        written += writeSync(descriptor, bytes, written);
      }
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
