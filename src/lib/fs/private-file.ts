// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { sep } from "node:path";
import { AgentError, systemCode } from "../errors.ts";

/** A file or directory with secrets could have been written or read by other users. */
export class NotPrivateError extends AgentError {
  readonly code = "AGENT_NOT_PRIVATE";
  readonly path: string;
  constructor(path: string, problem: string) {
    super(`use ${path}: ${problem}`);
    this.path = path;
  }
}

/** Bits of a mode that give other users a right. */
export const othersMayAccess = 0o077;
export const othersMayWrite = 0o022;
const maxBytes = 1024 * 1024;

/**
 * Reads a text file of this user that others can neither write nor read. The check is made on the open file.
 * @returns undefined when there is no file
 * @throws NotPrivateError, or the system's error
 */
export function readPrivateFileSync(path: string): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    if (systemCode(error) === "ELOOP") throw new NotPrivateError(path, "it is a symbolic link");
    throw error;
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile() || status.size > maxBytes) throw new NotPrivateError(path, "it is not a small file");
    assertPrivate(path, status, othersMayAccess);
    return readFileSync(descriptor, "utf8");
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Checks that only this user can change what is in a directory.
 * @param forbidden bits that the mode must not have
 * @throws NotPrivateError, or the system's error when there is no directory
 */
export function assertPrivateDirectorySync(path: string, forbidden: number): void {
  const status = lstatSync(path);
  if (status.isSymbolicLink()) throw new NotPrivateError(path, "it is a symbolic link; name the directory itself");
  if (!status.isDirectory()) throw new NotPrivateError(path, "it is not a directory");
  assertPrivate(path, status, forbidden);
}

function assertPrivate(path: string, { mode, uid }: Stats, forbidden: number): void {
  const self = process.geteuid?.();
  if (self !== undefined && uid !== self)
    throw new NotPrivateError(path, `it belongs to another user (uid ${String(uid)})`);
  if ((mode & forbidden) === 0) return;
  const right = (mode & othersMayWrite) === 0 ? "read" : "write";
  throw new NotPrivateError(path, `other users can ${right} it (mode ${(mode & 0o777).toString(8)}); make it private`);
}

/** Longer chains of links are not followed. Linux has the same limit. */
const longestChain = 40;

/**
 * Checks that no link on the way to a directory could have been made by another user: in a directory that others may write,
 * it could lead to any directory of this user. Links of this user and of root are followed, and those in directories that
 * only these two can write. What is missing has no links yet.
 * @returns the directory's path without links
 * @throws NotPrivateError
 */
export function assertTrustedLinksSync(directory: string): string {
  const start = directory.startsWith(sep) ? [] : process.cwd().split(sep);
  let waiting: readonly string[] = [...start, ...directory.split(sep)];
  let reached = "";
  for (let links = 0; ; ) {
    const [name, ...rest] = waiting;
    if (name === undefined) return reached === "" ? sep : reached;
    waiting = rest;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      reached = reached.slice(0, reached.lastIndexOf(sep));
      continue;
    }
    const next = `${reached}${sep}${name}`;
    const status = lstatSync(next, { throwIfNoEntry: false });
    if (status?.isSymbolicLink() !== true) {
      reached = next;
      continue;
    }
    if (++links > longestChain) throw new NotPrivateError(directory, "it has too many links");
    if (!isOwn(status) && !isOwnAlone(lstatSync(reached === "" ? sep : reached))) {
      const problem = `it is a link of another user (uid ${String(status.uid)}) in a directory that others may write`;
      throw new NotPrivateError(next, `${problem}; put a directory in its place`);
    }
    const target = readlinkSync(next);
    waiting = [...target.split(sep), ...rest];
    if (target.startsWith(sep)) reached = "";
  }
}

/** Of this user or of root. */
function isOwn({ uid }: Stats): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

/** Of this user or of root, and others cannot write it. */
function isOwnAlone(status: Stats): boolean {
  return isOwn(status) && (status.mode & othersMayWrite) === 0;
}
