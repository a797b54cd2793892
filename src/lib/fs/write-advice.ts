// SPDX-License-Identifier: Apache-2.0
import { systemCode } from "../errors.ts";

/** What to do when a file, a socket or its directory cannot be made, by the system's error. */
export function adviceOnWriteError(cause: unknown): string {
  switch (systemCode(cause)) {
    case "ENOSPC":
    case "EDQUOT":
      return "there is no space left: free space on the volume, or enlarge it";
    case "EROFS":
      return "the file system is read-only: mount a writable emptyDir there";
    default:
      return "check that the directory exists and is writable for this user";
  }
}
