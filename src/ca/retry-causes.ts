// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { dialTcp } from "../lib/grpc/dial.ts";
import type { CaSecurity } from "./types.ts";

// What may make a failed call succeed: a changed file (lib/fs/cause-files.ts), or a CA that accepts connections again.

/** Together with the attempt that follows, a workload without a certificate has one within two seconds of recovery. */
const connectIntervalMs = 1_250;
const connectTimeoutMs = 2_000;

/** The files that TLS with the CA depends on. */
export function tlsFilesOf(security: CaSecurity): readonly string[] {
  if (security.kind === "plaintext") return [];
  const roots = security.roots.kind === "file" ? [security.roots.path] : [];
  return security.client === undefined ? roots : [...roots, security.client.chainPath, security.client.keyPath];
}

/**
 * Resolves when a TCP connection can be made, and closes it unused: the CA pays for nothing but the accept. Waits
 * before the first connection too, because it is called after a failure to connect.
 * @throws the signal's reason
 */
export async function untilReachable(
  { host, port }: { readonly host: string; readonly port: number },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.delay(connectIntervalMs, signal);
    using limit = deadline(clock, connectTimeoutMs, signal);
    try {
      (await dialTcp(host, port, limit.signal)).destroy();
      return;
    } catch {
      signal.throwIfAborted();
    }
  }
}
