// SPDX-License-Identifier: Apache-2.0
import { type Http2Session, constants } from "node:http2";
import { type Clock, DeadlineError, deadline } from "../async/clock.ts";
import { orAborted } from "../async/tasks.ts";

export interface KeepaliveOptions {
  /** A peer that has sent nothing for this long is pinged. */
  readonly intervalMs: number;
  /** For the response to a ping; the connection is destroyed without one. */
  readonly timeoutMs: number;
}

/** How often the number of received bytes is checked within one interval. */
const checksPerInterval = 4;

/**
 * Keepalive pings for the connections to one peer. Received data is activity: no ping is sent while the peer sends
 * data. A peer that closes the connection because of too many pings doubles the interval, for later connections too.
 * Source: gRPC proposal A8, client-side keepalive
 */
export class Keepalive {
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  #intervalMs: number;

  constructor({ intervalMs, timeoutMs }: KeepaliveOptions, clock: Clock) {
    this.#intervalMs = intervalMs;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  /**
   * Runs until the session is closed; destroys it when a ping gets no response.
   * @param isWanted called before each ping; false skips it
   */
  async run(session: Http2Session, isWanted: () => boolean): Promise<void> {
    const closed = new AbortController();
    session.once("close", () => {
      closed.abort();
    });
    session.on("goaway", (code, _lastStreamId, data) => {
      if (isTooManyPings(code, data)) this.#intervalMs *= 2;
    });
    try {
      await this.#pingWhenIdle(session, isWanted, closed.signal);
    } catch (error) {
      if (!closed.signal.aborted) throw error;
    }
  }

  async #pingWhenIdle(session: Http2Session, isWanted: () => boolean, closed: AbortSignal): Promise<void> {
    let receivedBytes = receivedBytesOf(session);
    for (let idleChecks = 0; !session.destroyed; ) {
      await this.#clock.delay(this.#intervalMs / checksPerInterval, closed);
      idleChecks = receivedBytesOf(session) === receivedBytes ? idleChecks + 1 : 0;
      receivedBytes = receivedBytesOf(session);
      if (idleChecks < checksPerInterval || !isWanted()) continue;
      await this.#ping(session, closed);
      idleChecks = 0;
      receivedBytes = receivedBytesOf(session);
    }
  }

  async #ping(session: Http2Session, closed: AbortSignal): Promise<void> {
    if (session.destroyed) return;
    using limit = deadline(this.#clock, this.#timeoutMs, closed);
    const response = new Promise<void>((resolve, reject) => {
      session.ping((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    try {
      await orAborted(response, limit.signal);
    } catch (error) {
      if (closed.aborted) throw error;
      const isLate = error instanceof DeadlineError;
      session.destroy(
        isLate ? new Error(`no response to a keepalive ping within ${String(this.#timeoutMs)} ms`) : undefined,
      );
    }
  }
}

/** Of all frames. A destroyed session has no socket any more. */
function receivedBytesOf(session: Http2Session): number {
  return session.destroyed ? 0 : session.socket.bytesRead;
}

function isTooManyPings(code: number, data: Uint8Array | undefined): boolean {
  return code === constants.NGHTTP2_ENHANCE_YOUR_CALM && Buffer.from(data ?? []).toString() === "too_many_pings";
}
