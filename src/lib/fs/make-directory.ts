// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { systemCode } from "../errors.ts";

/**
 * Makes a directory and those above it that are missing; one that is there is left as it is.
 * @throws the system's error, also where nothing can be made though all above is there, such as below /proc: the
 * runtime's own way of making several tries that for ever (observed with Node 26)
 */
export function makeDirectorySync(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const code = systemCode(error);
    if (isDirectory(path)) return;
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path || isDirectory(parent)) throw error;
    makeDirectorySync(parent, mode);
    mkdirSync(path, { mode });
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
