// SPDX-License-Identifier: Apache-2.0
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { isLoopback } from "./caller.ts";

/** Connections in the order in which they are to give way. */
type Rank = "waiting" | "waiting on loopback" | "answered";

const ranks: readonly Rank[] = ["waiting", "waiting on loopback", "answered"];

/**
 * Keeps the number of connections below a limit by closing the one that is missed least: first the one that has waited
 * longest without a whole request, callers from elsewhere before those on loopback, of which Envoy is one; then the one
 * from elsewhere that is being answered for longest. So whoever connects and asks at once, as the kubelet does, is
 * answered, however many connections others hold open.
 */
export class ConnectionLimit {
  readonly #limit: number;
  readonly #onFull: () => void;
  readonly #ranked: Readonly<Record<Rank, Set<Socket>>> = {
    waiting: new Set(),
    "waiting on loopback": new Set(),
    answered: new Set(),
  };
  #open = 0;

  /** @param onFull called for each connection that had to give way */
  constructor(limit: number, onFull: () => void) {
    this.#limit = limit;
    this.#onFull = onFull;
  }

  watch(server: Server): void {
    server.on("connection", (socket) => {
      this.#open++;
      this.#waits(socket);
      socket.once("close", () => {
        this.#open--;
        this.#forget(socket);
      });
      if (this.#open > this.#limit) this.#giveWay(socket);
    });
    server.on("request", ({ socket }, response: ServerResponse) => {
      this.#forget(socket);
      if (!isLoopback(socket.remoteAddress)) this.#ranked.answered.add(socket);
      response.once("close", () => {
        if (socket.destroyed) return;
        this.#forget(socket);
        this.#waits(socket);
      });
    });
  }

  #waits(socket: Socket): void {
    this.#ranked[isLoopback(socket.remoteAddress) ? "waiting on loopback" : "waiting"].add(socket);
  }

  #forget(socket: Socket): void {
    for (const rank of ranks) this.#ranked[rank].delete(socket);
  }

  #giveWay(newest: Socket): void {
    for (const rank of ranks) {
      for (const socket of this.#ranked[rank]) {
        if (socket === newest) continue;
        this.#forget(socket);
        socket.destroy();
        this.#onFull();
        return;
      }
    }
  }
}
