// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { AgentError, systemCode } from "../errors.ts";
import type { TlsClientOptions } from "./tls-error.ts";

/** Follows the handshake of one socket, so that its failure can be explained. */
export class Handshake {
  readonly #options: TlsClientOptions;
  #peer: X509Certificate | undefined;
  #isConnected: boolean;
  #isSecure = false;

  /** @param socket before its handshake is over, and connected unless it emits `connect` */
  constructor(socket: TLSSocket, options: TlsClientOptions) {
    this.#options = options;
    this.#isConnected = !socket.connecting;
    socket.once("connect", () => {
      this.#isConnected = true;
    });
    // Emitted before the certificate is judged: afterwards a rejected one is no longer available (Node 20 to 26).
    socket.prependListener("secure", () => {
      this.#peer = socket.getPeerX509Certificate();
    });
    socket.once("secureConnect", () => {
      this.#isSecure = true;
    });
  }

  /** The failure of the handshake with its explanation; any other error unchanged. */
  async explain(error: unknown): Promise<unknown> {
    if (!this.#isConnected || this.#isSecure || !(error instanceof Error)) return error;
    if (error instanceof AgentError || error.name === "AbortError") return error;
    const { explainTlsFailure } = await import("./tls-failure.ts");
    return explainTlsFailure(error, { peer: this.#peer, options: this.#options, nowMs: Date.now() });
  }
}

/** A TLS alert after the handshake explained: with TLS 1.3 it is how a server rejects a client. Else the error. */
export async function explainAlert(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || systemCode(error)?.startsWith("ERR_SSL_") !== true) return error;
  const { explainTlsFailure } = await import("./tls-failure.ts");
  return explainTlsFailure(error, { peer: undefined, options: {}, nowMs: 0 });
}
