// SPDX-License-Identifier: Apache-2.0
import type { ConnectionOptions } from "node:tls";
import { AgentError, systemCode } from "../errors.ts";

/**
 * Why TLS with a server failed: its certificate leads to no root that is trusted here, is for another name, has expired
 * or begins later; it does not respond to the handshake; it ended the handshake or speaks no TLS. Values of metrics.
 */
export type TlsFailure =
  | "untrusted-root"
  | "wrong-name"
  | "expired"
  | "not-yet-valid"
  | "handshake-timeout"
  | "handshake-failed";

/** TCP was connected, but TLS with the server failed. */
export class TlsError extends AgentError {
  readonly code = "AGENT_TLS";
  readonly failure: TlsFailure;
  /** The library's or the system's code, such as `CERT_HAS_EXPIRED`. */
  readonly systemCode: string | undefined;
  /** @param error what the library reported; not kept as a cause, because its text is about the runtime */
  constructor(failure: TlsFailure, text: string, error: Error) {
    super(text);
    this.failure = failure;
    this.systemCode = systemCode(error);
  }
}

/** The TLS failure among an error and its causes; undefined when it is none. */
export function tlsErrorIn(error: unknown): TlsError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof TlsError) return cause;
  return undefined;
}

/** Options of one connection, and what an error says about the roots. */
export interface TlsClientOptions extends ConnectionOptions {
  /** The file with the roots that the server is verified with; undefined for the system's. */
  readonly rootsFile?: { readonly path: string; readonly pem: string };
}
