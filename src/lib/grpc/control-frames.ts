// SPDX-License-Identifier: Apache-2.0
import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../async/clock.ts";
import type { Budget } from "../budget.ts";

/** The library handles most frames by itself and tells of none of them, so the connections are looked at. */
const lookEveryMs = 500;
/** A client acknowledges what it reads and grants windows for it: a few bytes for thousands. */
const shareOfWritten = 1 / 8;

interface Watched {
  readonly socket: Socket;
  readonly budget: Budget;
  readBefore: number;
  writtenBefore: number;
}

const messageBytes = new WeakMap<Http2Session, number>();

/** Counts data that a client sent on a stream. */
export function countMessageBytes(session: Http2Session, bytes: number): void {
  messageBytes.set(session, (messageBytes.get(session) ?? 0) + bytes);
}

/**
 * Finds connections whose client keeps the process busy with frames that carry no message, such as PING, SETTINGS,
 * WINDOW_UPDATE, PRIORITY and empty DATA. Looks only while there are connections.
 */
export class ControlFrameWatch {
  readonly #budget: Budget;
  readonly #clock: Clock;
  readonly #onFlood: (session: Http2Session) => void;
  readonly #watched = new Map<Http2Session, Watched>();
  #isLooking = false;

  /** @param budget of a connection: bytes of such frames, in a time */
  constructor(budget: Budget, clock: Clock, onFlood: (session: Http2Session) => void) {
    this.#budget = budget;
    this.#clock = clock;
    this.#onFlood = onFlood;
  }

  add(session: Http2Session, socket: Socket): void {
    const budget = this.#budget.child();
    this.#watched.set(session, { socket, budget, readBefore: socket.bytesRead, writtenBefore: socket.bytesWritten });
    session.once("close", () => {
      this.#watched.delete(session);
      budget[Symbol.dispose]();
    });
    if (!this.#isLooking) void this.#look();
  }

  async #look(): Promise<void> {
    this.#isLooking = true;
    while (this.#watched.size > 0) {
      await this.#clock.delay(lookEveryMs);
      for (const [session, watched] of this.#watched) if (this.#isFlood(session, watched)) this.#onFlood(session);
    }
    this.#isLooking = false;
  }

  #isFlood(session: Http2Session, watched: Watched): boolean {
    const { bytesRead, bytesWritten } = watched.socket;
    const explained = (messageBytes.get(session) ?? 0) * 2 + (bytesWritten - watched.writtenBefore) * shareOfWritten;
    const rest = bytesRead - watched.readBefore - explained;
    watched.readBefore = bytesRead;
    watched.writtenBefore = bytesWritten;
    messageBytes.delete(session);
    return rest > 0 && !watched.budget.tryTakeAt(this.#clock.monotonicMs(), rest);
  }
}
