// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { systemCode } from "../errors.ts";
import { assertTrustedLinksSync } from "./private-file.ts";

/**
 * Creates a directory and its missing parents, as `mkdir -p` does. Existing ones are not changed. The parents of every
 * `..` are created too: a program that opens the path as it is written, such as Envoy, needs them.
 * @throws NotPrivateError for a link on the way that another user may have made; the system's error, also below /proc, where `mkdirSync` with `recursive` never returns (observed with Node
 * 26)
 */
export function makeDirectorySync(path: string, mode: number): void {
  assertTrustedLinksSync(path);
  makeMissingSync(path, mode);
}

function makeMissingSync(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const code = systemCode(error);
    if (isDirectory(path)) return;
    const parent = dirname(path);
    if (code !== "ENOENT" || parent === path || isDirectory(parent)) throw error;
    makeMissingSync(parent, mode);
    makeMissingSync(path, mode);
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
