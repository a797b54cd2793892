// SPDX-License-Identifier: Apache-2.0
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { DeadlineError } from "../async/clock.ts";
import type { HttpHead, OutgoingRequest } from "./http-request.ts";
import type { TlsClientOptions } from "./tls-error.ts";
import { Handshake } from "./tls-handshake.ts";

/** Options of a request that goes by Node's client. */
interface NodeOptions {
  readonly isTls: boolean;
  readonly tls: TlsClientOptions | undefined;
  readonly proxies: Readonly<Record<string, string>> | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Sends a request by Node's client, which is loaded by the first one. @throws TlsError when the handshake fails, else Node's error */
export async function sendByNode({ body, ...outgoing }: OutgoingRequest, options: NodeOptions): Promise<HttpHead> {
  const { isTls, tls, proxies, signal } = options;
  const { Agent, request: open } = isTls ? await import("node:https") : await import("node:http");
  const agent = proxies === undefined ? false : new Agent({ proxyEnv: { ...proxies } });
  const send = (onResponse: (message: IncomingMessage) => void): ClientRequest => {
    const client = open({ ...tls, ...outgoing, agent, ...(signal === undefined ? {} : { signal }) }, onResponse);
    // Node changes the method to upper case when the request is made.
    client.method = outgoing.method;
    client.end(body);
    return client;
  };
  return await untilResponse(send, { host: outgoing.host, ...tls }, signal);
}

/**
 * Sends a request on a connection of its own, and waits for the head of the response.
 * @param tls the options of the connection, for the explanation of a failed handshake
 * @param signal what ends the request; the reason of a deadline tells a handshake that hangs
 * @throws TlsError when the handshake fails, else the error of the request
 */
async function untilResponse(
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
