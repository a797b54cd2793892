// SPDX-License-Identifier: Apache-2.0
import { type Socket, connect as connectPlain } from "node:net";
import type { Duplex } from "node:stream";
import { abortReason } from "../async/clock.ts";
import { describeError, systemCode } from "../errors.ts";
import { connectMeaning } from "../net/connect-meaning.ts";
import { formatHostPort } from "../net/host-port.ts";
import type { TlsClientOptions } from "../net/tls-error.ts";
import { Handshake } from "../net/tls-handshake.ts";

/** Where a channel connects to. */
export type GrpcTarget =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly dial?: Dial }
  | {
      readonly kind: "tls";
      readonly host: string;
      readonly port: number;
      readonly dial?: Dial;
      /** Called for each new connection, so that replaced files take effect. */
      readonly tlsOptions: () => Promise<TlsClientOptions> | TlsClientOptions;
    };

/** Makes the TCP connection in another way than directly, for example through a proxy. */
export type Dial = (host: string, port: number, signal: AbortSignal) => Promise<Socket>;

/** The target as text, for messages. */
export function formatTarget(target: GrpcTarget): string {
  return target.kind === "unix" ? target.path : formatHostPort(target);
}

/**
 * Connects to the target, including the TLS handshake.
 * @throws TlsError when the handshake fails, the system's or the TLS library's error, or the signal's reason
 */
export async function dialTarget(target: GrpcTarget, signal: AbortSignal): Promise<Duplex> {
  if (target.kind === "unix") return untilConnected(connectPlain(target.path), "connect", signal);
  const dial = target.dial ?? dialTcp;
  if (target.kind === "tcp") return dial(target.host, target.port, signal);
  const { connect: connectTls } = await import("node:tls");
  const options = await target.tlsOptions();
  const socket = await dial(target.host, target.port, signal);
  const secured = connectTls({ host: target.host, ...options, socket, ALPNProtocols: ["h2"] });
  const handshake = new Handshake(secured, { host: target.host, ...options });
  try {
    await untilConnected(secured, "secureConnect", signal);
  } catch (error) {
    throw await handshake.explain(error);
  }
  if (secured.alpnProtocol !== "h2") {
    secured.destroy();
    throw new Error("the peer speaks TLS but not HTTP/2");
  }
  return secured;
}

/** Connects directly. A name with several addresses is tried address by address. */
export async function dialTcp(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const socket = await untilConnected(connectPlain({ host, port }), "connect", signal);
  socket.setNoDelay(true);
  return socket;
}

/** What a failed connection most likely means, where the error's text does not say. */
export function connectHint(error: unknown, target: GrpcTarget): string | undefined {
  const code = systemCode(error) ?? "";
  const meaning = connectMeaning(code);
  if (meaning !== undefined) return `${meaning} (${describeError(error)})`;
  if (
    target.kind === "tls" &&
    (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
  ) {
    return "the peer does not speak TLS; is this a plaintext port?";
  }
  return undefined;
}

async function untilConnected<S extends Socket>(
  socket: S,
  event: "connect" | "secureConnect",
  signal: AbortSignal,
): Promise<S> {
  let onAbort: (() => void) | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => {
        reject(abortReason(signal));
      };
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      socket.once(event, () => {
        resolve();
      });
      socket.on("error", reject);
      socket.once("close", () => {
        reject(new Error("the peer closed the connection"));
      });
    });
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}
