// SPDX-License-Identifier: Apache-2.0
import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { isLoopback } from "./local-caller.ts";

/** In the order in which connections are closed. */
const ranks = ["idle", "idle on loopback", "busy"] as const;

type Rank = (typeof ranks)[number];

/**
 * Keeps the number of connections below a limit. It first closes the connection that has been without a complete request
 * for the longest time, those on loopback last, of which Envoy is one; then the external one whose request has been
 * handled for the longest time. So a caller that sends its request at once, as the kubelet does, gets its response,
 * however many connections others hold open.
 */
export class ConnectionLimit {
  readonly #limit: number;
  readonly #onFull: () => void;
  readonly #ranked: Readonly<Record<Rank, Set<Socket>>> = {
    idle: new Set(),
    "idle on loopback": new Set(),
    busy: new Set(),
  };
  #open = 0;

  /** @param onFull called for each connection that is closed */
  constructor(limit: number, onFull: () => void) {
    this.#limit = limit;
    this.#onFull = onFull;
  }

  watch(server: Server): void {
    server.on("connection", (socket) => {
      this.#open++;
      this.#idle(socket);
      socket.once("close", () => {
        this.#open--;
        this.#forget(socket);
      });
      if (this.#open > this.#limit) this.#closeOne(socket);
    });
    server.on("request", ({ socket }, response: ServerResponse) => {
      this.#forget(socket);
      if (!isLoopback(socket.remoteAddress)) this.#ranked.busy.add(socket);
      response.once("close", () => {
        if (socket.destroyed) return;
        this.#forget(socket);
        this.#idle(socket);
      });
    });
  }

  #idle(socket: Socket): void {
    this.#ranked[isLoopback(socket.remoteAddress) ? "idle on loopback" : "idle"].add(socket);
  }

  #forget(socket: Socket): void {
    for (const rank of ranks) this.#ranked[rank].delete(socket);
  }

  #closeOne(newest: Socket): void {
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
