// SPDX-License-Identifier: Apache-2.0
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { DeadlineError } from "../async/clock.ts";
import type { TlsClientOptions } from "./tls-error.ts";
import { Handshake } from "./tls-handshake.ts";

/**
 * Sends a request on a connection of its own, and waits for the head of the response.
 * @param tls the options of the connection, for the explanation of a failed handshake
 * @param signal what ends the request; the reason of a deadline tells a handshake that hangs
 * @throws TlsError when the handshake fails, else the error of the request
 */
export async function untilResponse(
  send: (onResponse: (message: IncomingMessage) => void) => ClientRequest,
  tls: TlsClientOptions,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  let handshake: Handshake | undefined;
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = send(resolve);
      outgoing.on("socket", (socket: Socket) => {
        if (isTlsSocket(socket)) handshake = new Handshake(socket, tls);
      });
      outgoing.on("error", reject);
    });
  } catch (error) {
    const isDeadline = signal?.aborted === true && signal.reason instanceof DeadlineError;
    throw handshake === undefined ? error : await handshake.explain(isDeadline ? signal.reason : error);
  }
}

function isTlsSocket(socket: Socket): socket is TLSSocket {
  return "encrypted" in socket;
}
