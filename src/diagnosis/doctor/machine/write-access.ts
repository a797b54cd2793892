// SPDX-License-Identifier: Apache-2.0
import { access, constants, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { systemCode } from "../../../lib/errors.ts";
import type { User } from "./processes.ts";

/** Whether a user may create files in a directory, which is created first if it is missing. Nothing is written. */
export type DirectoryAccess =
  | {
      readonly kind: "writable";
      /** The directory, or the nearest one above it that exists. */
      readonly at: string;
      readonly exists: boolean;
      /** Undefined where the file system does not say. */
      readonly space: Space | undefined;
    }
  /** `unknown`: this process may not look, and the user is another one. */
  | {
      readonly kind: "read-only" | "not-a-directory" | "unreachable" | "unknown";
      readonly at: string;
      readonly exists: boolean;
    }
  | {
      readonly kind: "forbidden";
      readonly at: string;
      readonly exists: boolean;
      readonly ownerUid: number;
      /** The permission bits. */
      readonly mode: number;
    };

export interface Space {
  readonly freeBytes: number;
  /** Files that can still be made; undefined where there is no limit. */
  readonly freeFiles: number | undefined;
}

/** @param path absolute */
export async function examineDirectory(path: string, user: User): Promise<DirectoryAccess> {
  for (let at = path; ; at = dirname(at)) {
    const exists = at === path;
    const found = await stat(at).catch(systemCode);
    if (found === "ENOENT" && at !== dirname(at)) continue;
    if (found === "ENOTDIR" && at !== dirname(at)) continue;
    if (typeof found !== "object")
      return { kind: user.uid === process.geteuid?.() ? "unreachable" : "unknown", at, exists };
    if (!found.isDirectory()) return { kind: "not-a-directory", at, exists };
    const problem = await writeProblem(at, found, user);
    if (problem === "EROFS") return { kind: "read-only", at, exists };
    if (problem !== undefined) return { kind: "forbidden", at, exists, ownerUid: found.uid, mode: found.mode & 0o7777 };
    return { kind: "writable", at, exists, space: await readSpace(at) };
  }
}

/** The system's answer for this process's own user, which knows of capabilities; the mode's for another one. */
async function writeProblem(
  path: string,
  status: { readonly uid: number; readonly gid: number; readonly mode: number },
  user: User,
): Promise<string | undefined> {
  const own = await access(path, constants.W_OK | constants.X_OK).then(
    () => undefined,
    (error: unknown) => systemCode(error) ?? "EACCES",
  );
  if (own === "EROFS" || user.uid === process.geteuid?.()) return own;
  return mayAccess(status, user, 0o3) ? undefined : "EACCES";
}

/**
 * Whether the mode of a file gives a user rights.
 * @param bits of one class: 4 reads, 2 writes, 1 searches
 */
export function mayAccess(
  { uid, gid, mode }: { readonly uid: number; readonly gid: number; readonly mode: number },
  user: User,
  bits: number,
): boolean {
  if (user.uid === 0) return true;
  const shift = user.uid === uid ? 6 : user.gids.includes(gid) ? 3 : 0;
  return ((mode >> shift) & bits) === bits;
}

async function readSpace(path: string): Promise<Space | undefined> {
  const found = await statfs(path).catch(() => undefined);
  if (found === undefined || found.blocks === 0) return undefined;
  return { freeBytes: found.bavail * found.bsize, freeFiles: found.files === 0 ? undefined : found.ffree };
}

/** What keeps the user from writing, with the uid and the place; undefined if nothing does. */
export function writeObstacle(found: DirectoryAccess, { uid }: User): string | undefined {
  switch (found.kind) {
    case "writable":
    case "unknown":
      return undefined;
    case "read-only":
      return `${found.at} is on a read-only file system`;
    case "not-a-directory":
      return `${found.at} is not a directory`;
    case "unreachable":
      return `${found.at} cannot be reached by uid ${String(uid)}`;
    case "forbidden":
      return `uid ${String(uid)} may not write in ${found.at} (owner ${String(found.ownerUid)}, mode ${found.mode.toString(8).padStart(4, "0")})`;
  }
}
