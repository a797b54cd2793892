// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
import { untilAborted } from "../lib/async/tasks.ts";
import type { CaSecurity } from "./ca-config.ts";

const debounceMs = 50;
const pollMs = 30_000;

/** Resolves at the first change of any of the files from now on, or when the signal aborts. */
export async function untilFilesChange(paths: readonly string[], clock: Clock, signal: AbortSignal): Promise<void> {
  if (paths.length === 0) {
    await untilAborted(signal);
    return;
  }
  let turns = 0;
  for await (const _ of watchFiles(paths, { clock, debounceMs, pollMs }, signal)) {
    if (turns++ > 0) return;
  }
}

/** The files that TLS with the CA depends on. */
export function tlsFilesOf(security: CaSecurity): readonly string[] {
  if (security.kind === "plaintext") return [];
  const roots = security.roots.kind === "file" ? [security.roots.path] : [];
  return security.client === undefined ? roots : [...roots, security.client.chainPath, security.client.keyPath];
}
