// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { dialTcp } from "../lib/grpc/dial.ts";

/** With the try that follows, a workload that has nothing is served within two seconds of the CA's return. */
const betweenLooksMs = 1_250;
const lookTimeoutMs = 2_000;

/**
 * Resolves when a TCP connection can be made, and makes no use of it: nothing is asked, so that it costs the CA no more
 * than an accepted connection. For after a failure to connect: the first look comes after a pause.
 * @throws the signal's reason
 */
export async function untilReachable(
  { host, port }: { readonly host: string; readonly port: number },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.delay(betweenLooksMs, signal);
    using limit = deadline(clock, lookTimeoutMs, signal);
    try {
      (await dialTcp(host, port, limit.signal)).destroy();
      return;
    } catch {
      signal.throwIfAborted();
    }
  }
}
