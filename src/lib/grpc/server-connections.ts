// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Clock } from "../async/clock.ts";
import type { Budget } from "../budget.ts";
import type { MemoryGuard } from "../memory-guard.ts";
import { UnreadBytes } from "./unread-bytes.ts";

/** What clients can make grow. */
export interface GrpcServerLimits {
  /** Of the process. With more, the oldest connection without a stream gives way; if there is none, the new one is closed. */
  readonly connections: Budget;
  /** Each connection has a child of it. Further streams are rejected. */
  readonly streams: Budget;
  /** Each connection has a child of it. A connection whose client resets more streams is closed. */
  readonly resets: Budget;
  /** Each connection has a child of it. A connection whose client sends more frames without a message is closed. */
  readonly controlBytes: Budget;
  /** A longer request is RESOURCE_EXHAUSTED. */
  readonly messageBytes: Budget;
  /** Of the process: parts of requests that are not complete. */
  readonly partialBytes: Budget;
  /**
   * Of the process: messages that clients have not read. If its rule is to close, and it is spent, the connection is
   * closed whose client has read nothing for the longest time, and for a second at least.
   */
  readonly queuedBytes: Budget;
  /** While it is short, connections and streams of other clients than the preferred one are rejected or closed. */
  readonly memory: MemoryGuard;
  /** What one connection may send ahead of its reader; a stream has half of it. */
  readonly windowBytes: Budget;
}

/** An accepted connection. */
export interface ServerConnection {
  readonly socket: Socket;
  readonly streams: Budget;
  readonly resets: Budget;
  readonly unread: UnreadBytes;
  /** Undefined until it matters. */
  isPreferred: boolean | undefined;
}

interface ConnectionsOptions {
  readonly limits: GrpcServerLimits;
  readonly isPreferred?: (socket: Socket) => boolean;
}

/** The connections of a gRPC server: which are accepted, and which give way. */
export class ServerConnections {
  readonly #options: ConnectionsOptions;
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #open = new Map<Socket, ServerConnection>();

  constructor(options: ConnectionsOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get(socket: Socket): ServerConnection | undefined {
    return this.#open.get(socket);
  }

  /** Takes a place, if need be that of the oldest connection without a stream. @returns false when there is none */
  add(socket: Socket): boolean {
    const { connections, streams, resets, memory } = this.#options.limits;
    if (memory.isShort()) {
      this.#closeOne(() => true);
      if (!this.#isPreferredSocket(socket)) return false;
    }
    if (!connections.tryTake()) {
      const hasNoStream = (connection: ServerConnection): boolean => connection.streams.used === 0;
      if (!this.#closeOne(hasNoStream) && !(this.#isPreferredSocket(socket) && this.#closeOne(() => true)))
        return false;
      if (!connections.tryTake()) return false;
    }
    const unread = new UnreadBytes(this.#options.limits.queuedBytes, this.#clock, () => {
      this.#closeStalled();
    });
    const connection: ServerConnection = {
      socket,
      streams: streams.child(),
      resets: resets.child(),
      unread,
      isPreferred: undefined,
    };
    this.#open.set(socket, connection);
    socket.once("close", () => {
      this.#forget(connection);
    });
    return true;
  }

  /** Closes the oldest such connection that is not preferred, one without a stream first. @returns whether there was one */
  #closeOne(mayClose: (connection: ServerConnection) => boolean): boolean {
    const others = [...this.#open.values()].filter((one) => mayClose(one) && !this.isPreferred(one));
    const victim = others.find(({ streams }) => streams.used === 0) ?? others[0];
    if (victim === undefined) return false;
    this.#forget(victim);
    victim.socket.destroy();
    return true;
  }

  /** Only for the preferred client: others have so many streams that it gets none. */
  takeFromOthers(connection: ServerConnection): boolean {
    return this.isPreferred(connection) && this.#closeOne(() => true) && connection.streams.tryTake();
  }

  isPreferred(connection: ServerConnection): boolean {
    return (connection.isPreferred ??= this.#isPreferredSocket(connection.socket));
  }

  #isPreferredSocket(socket: Socket): boolean {
    return this.#options.isPreferred?.(socket) ?? false;
  }

  #forget({ socket, streams, resets, unread }: ServerConnection): void {
    if (!this.#open.delete(socket)) return;
    this.#options.limits.connections.release();
    streams[Symbol.dispose]();
    resets[Symbol.dispose]();
    unread.clear();
  }

  #closeStalled(): void {
    if (this.#options.limits.queuedBytes.whenSpent !== "close") return;
    let oldest: ServerConnection | undefined;
    let oldestMs = Number.POSITIVE_INFINITY;
    for (const connection of this.#open.values()) {
      const sinceMs = connection.unread.stalledSinceMs ?? Number.POSITIVE_INFINITY;
      if (sinceMs >= oldestMs) continue;
      oldest = connection;
      oldestMs = sinceMs;
    }
    oldest?.socket.destroy();
  }
}
