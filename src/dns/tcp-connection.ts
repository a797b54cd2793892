// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Answerer } from "./query-handler.ts";
import { frame } from "./exchange.ts";

/** Source: Istio's agent, observed */
const firstQueryMs = 2_000;
const idleMs = 8_000;
const queriesPerConnection = 128;

/** Queries of one client that are worked on at once; more wait in the connection. */
const atOnce = 16;

/** Replies that a client does not read; more, and it is cut off. */
const unreadBytes = 1024 * 1024;

/** Answers the queries of one connection, each as soon as its answer is there. */
export function serveTcp(socket: Socket, answer: Answerer): void {
  const port = socket.remotePort ?? 0;
  let received: Buffer = Buffer.alloc(0);
  let taken = 0;
  let open = 0;
  let isEnding = false;
  const takeNext = (): void => {
    while (open < atOnce && taken < queriesPerConnection && isWhole(received)) {
      const end = 2 + received.readUInt16BE(0);
      const message = received.subarray(2, end);
      received = received.subarray(end);
      taken++;
      void work(message);
    }
    if (taken >= queriesPerConnection) isEnding = true;
    if (isEnding && open === 0) socket.end();
    else if (open < atOnce) socket.resume();
    else socket.pause();
  };
  const work = async (message: Buffer): Promise<void> => {
    open++;
    const reply = await answer(message, { transport: "tcp", port });
    open--;
    if (socket.destroyed) return;
    if (reply !== undefined) socket.write(frame(reply));
    if (socket.writableLength > unreadBytes) socket.destroy();
    else takeNext();
  };
  socket.setTimeout(firstQueryMs);
  socket.on("timeout", () => {
    if (open === 0 || socket.writableLength > 0) socket.destroy();
  });
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    socket.setTimeout(idleMs);
    takeNext();
  });
  socket.on("end", () => {
    isEnding = true;
    takeNext();
  });
}

function isWhole(received: Buffer): boolean {
  return received.length >= 2 && received.length >= 2 + received.readUInt16BE(0);
}
