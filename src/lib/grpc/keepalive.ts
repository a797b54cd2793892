// SPDX-License-Identifier: Apache-2.0
import type { Http2Session } from "node:http2";
import type { Clock } from "../async/clock.ts";
import { orAborted } from "../async/tasks.ts";

export interface KeepaliveOptions {
  /** Between two pings. */
  readonly intervalMs: number;
  /** For the answer; without one the connection is destroyed. */
  readonly timeoutMs: number;
}

/**
 * Pings the peer until the session is closed or a ping is not answered; then destroys the session.
 * @param isWanted asked before each ping; false leaves it out
 */
export async function keepAlive(
  session: Http2Session,
  options: KeepaliveOptions,
  clock: Clock,
  isWanted: () => boolean,
): Promise<void> {
  const closed = new AbortController();
  session.once("close", () => {
    closed.abort();
  });
  try {
    while (!session.destroyed) {
      await clock.delay(options.intervalMs, closed.signal);
      if (isWanted() && !(await isAnswered(session, options.timeoutMs, clock, closed.signal))) {
        session.destroy(new Error(`no answer to a keepalive ping within ${String(options.timeoutMs)} ms`));
      }
    }
  } catch (error) {
    if (!closed.signal.aborted) throw error;
  }
}

async function isAnswered(
  session: Http2Session,
  timeoutMs: number,
  clock: Clock,
  closed: AbortSignal,
): Promise<boolean> {
  if (session.destroyed) return true;
  const late = new AbortController();
  const signal = AbortSignal.any([closed, late.signal]);
  const answer = new Promise<boolean>((resolve) => {
    session.ping((error) => {
      resolve(error === null);
    });
  });
  const timeout = clock.delay(timeoutMs, signal).then(() => false);
  try {
    return await orAborted(Promise.race([answer, timeout]), closed);
  } finally {
    timeout.catch(() => undefined);
    late.abort();
  }
}
