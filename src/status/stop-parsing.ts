// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

/** The part of Node.js's parser that passes on a request when its headers are complete. */
interface Parser {
  onIncoming: (request: IncomingMessage, keepAlive: boolean) => number;
}

function isParser(value: unknown): value is Parser {
  return typeof value === "object" && value !== null && "onIncoming" in value && typeof value.onIncoming === "function";
}

/** Node.js's result for a request after which the bytes are no longer HTTP. */
const upgraded = 2;

/**
 * One read may have thousands of pipelined requests, and Node.js parses all of them even when the first one has closed
 * the connection. This ends the parsing, in the way in which an upgrade does.
 * @param isClosed whether no more requests are wanted
 * Source: Node.js, lib/_http_server.js and lib/_http_common.js; without the parser there, all requests are parsed
 */
export function stopParsing(socket: Socket, isClosed: () => boolean): void {
  const parser: unknown = "parser" in socket ? socket.parser : undefined;
  if (!isParser(parser)) return;
  const { onIncoming } = parser;
  parser.onIncoming = (request, keepAlive) => {
    if (!isClosed()) return onIncoming(request, keepAlive);
    Object.assign(request, { upgrade: true });
    return upgraded;
  };
}
