// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Budget } from "../lib/budget.ts";
import type { MemoryGuard } from "../lib/memory-guard.ts";
import { isLoopbackAddress } from "../lib/net/ip-address.ts";
import type { Budgets } from "../model/limits.ts";

/** A client's TCP connection. */
export interface DnsConnection {
  readonly socket: Socket;
  /** Taken by its queries that are being handled. */
  readonly queries: Budget;
  readonly isLoopback: boolean;
  /** To be called with each query: the connection is now the one that was used last. */
  touch(): void;
}

/**
 * The TCP connections of all listeners. One beyond the limit takes the place of the connection that has been idle for
 * the longest time, or else of the one whose last query is the oldest. Connections of other machines never take the
 * place of one from loopback, and give way first.
 */
export class DnsConnections {
  readonly #limit: Budget;
  readonly #queries: Budget;
  readonly #memory: MemoryGuard;
  /** The one that was used last is the last. */
  readonly #open = new Map<Socket, DnsConnection>();

  constructor(budgets: Budgets) {
    this.#limit = budgets.of("dns-connections");
    this.#queries = budgets.of("dns-queries-of-connection");
    this.#memory = budgets.memory;
  }

  /** Undefined, and the socket is closed, when no connection gives way, or memory is short for other machines. */
  add(socket: Socket): DnsConnection | undefined {
    const isLoopback = isLoopbackAddress(socket.remoteAddress);
    if (!isLoopback && this.#memory.isShort()) {
      socket.destroy();
      return undefined;
    }
    if (!this.#limit.tryTake()) {
      this.#close(this.#leastUseful(isLoopback));
      if (!this.#limit.tryTake()) {
        socket.destroy();
        return undefined;
      }
    }
    const connection: DnsConnection = {
      socket,
      queries: this.#queries.child(),
      isLoopback,
      touch: () => {
        if (this.#open.delete(socket)) this.#open.set(socket, connection);
      },
    };
    this.#open.set(socket, connection);
    socket.once("close", () => {
      this.#forget(connection);
    });
    return connection;
  }

  #leastUseful(mayBeLoopback: boolean): DnsConnection | undefined {
    const isIdle = ({ queries }: DnsConnection): boolean => queries.used === 0;
    const open = [...this.#open.values()];
    const others = open.filter(({ isLoopback }) => !isLoopback);
    const found = others.find(isIdle) ?? others[0];
    return found ?? (mayBeLoopback ? (open.find(isIdle) ?? open[0]) : undefined);
  }

  #close(connection: DnsConnection | undefined): void {
    if (connection === undefined) return;
    this.#forget(connection);
    connection.socket.destroy();
  }

  #forget({ socket, queries }: DnsConnection): void {
    if (!this.#open.delete(socket)) return;
    this.#limit.release();
    queries[Symbol.dispose]();
  }
}
