// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { type Dial, dialTcp } from "../../lib/grpc/dial.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { formatHostPort } from "../../lib/net/host-port.ts";
import type { HttpProxyAddress } from "../xds-config.ts";

/** A proxy's answer is a few lines; more than this is something else. */
const longestAnswerBytes = 8 * 1024;

/**
 * Connects through an HTTP proxy by CONNECT.
 * @throws Error with the proxy's status line when it refuses
 */
export function dialThroughProxy(proxy: HttpProxyAddress): Dial {
  return async (host, port, signal) => {
    const socket = await dialTcp(proxy.host, proxy.port, signal);
    try {
      const authority = formatHostPort({ host, port });
      const credentials = proxy.authorization === undefined ? "" : `Proxy-Authorization: ${proxy.authorization}\r\n`;
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
      const statusLine = await orAborted(readAnswer(socket), signal);
      if (!/^HTTP\/1\.[01] 2\d\d/.test(statusLine)) {
        throw new Error(`the proxy ${formatHostPort(proxy)} refused to connect: ${statusLine}`);
      }
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  };
}

/** Reads up to the empty line; what comes after it stays in the socket. Returns the first line. */
function readAnswer(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf("\r\n\r\n");
      if (end === -1 && answer.length < longestAnswerBytes) return;
      socket.off("data", onData);
      socket.pause();
      if (end === -1) reject(new Error("the proxy's answer is not HTTP"));
      else {
        if (answer.length > end + 4) socket.unshift(answer.subarray(end + 4));
        resolve(answer.subarray(0, answer.indexOf("\r\n")).toString("latin1"));
      }
    };
    socket.on("data", onData);
    socket.once("close", () => {
      reject(new Error("the proxy closed the connection"));
    });
  });
}
