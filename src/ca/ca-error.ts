// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import type { TlsFailure } from "../lib/net/tls-error.ts";

/**
 * The kind of failure: the CA cannot be reached or is busy; TLS with it failed; it rejected the request; its response
 * cannot be parsed; or this side lacks what the call needs. The values are label values of metrics.
 */
export type CaFailure = "unreachable" | `tls-${TlsFailure}` | "refused" | "malformed-response" | "misconfigured";

/** The longest delay that a CA may request. */
export const maxRetryAfterMs = 5 * 60_000;

const nameCodes: ReadonlySet<string> = new Set(["ENOTFOUND", "EAI_AGAIN", "EAI_NODATA"]);
const connectCodes: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ETIMEDOUT"],
  ...nameCodes,
]);

/** Whether a system code is of a failure to connect: refused, no route, unknown name, or timed out. */
export function isConnectCode(code: string | undefined): boolean {
  return code !== undefined && connectCodes.has(code);
}

/** Whether a system code is of a name that has no address. */
export function isNameCode(code: string | undefined): boolean {
  return code !== undefined && nameCodes.has(code);
}

/** What is known about a failed call beside its kind. */
export interface CaFailureFacts {
  /** The least delay before the next attempt, as the CA requested it; 0 for none. */
  readonly retryAfterMs: number;
  /** The CA will not sign for this identity: retrying alone does not help. */
  readonly isPermanent: boolean;
  /** The status of the call, as its protocol names it; empty when there was none. */
  readonly statusCode: string;
  /** No connection was made, so the CA received no request. */
  readonly isUnconnected: boolean;
}

/** An attempt to have a certificate signed failed. The next one may succeed: tokens, roots and CAs change. */
export class CaError extends AgentError implements CaFailureFacts {
  readonly code = "AGENT_CA";
  readonly failure: CaFailure;
  /** The CA's address as it was called. */
  readonly address: string;
  readonly retryAfterMs: number;
  readonly isPermanent: boolean;
  readonly statusCode: string;
  readonly isUnconnected: boolean;
  constructor(
    failure: CaFailure,
    address: string,
    text: string,
    facts: Partial<CaFailureFacts> & { readonly cause?: unknown } = {},
  ) {
    super(`request a certificate from ${address}: ${text}`, { cause: facts.cause });
    this.failure = failure;
    this.address = address;
    this.retryAfterMs = facts.retryAfterMs ?? 0;
    this.isPermanent = facts.isPermanent ?? false;
    this.statusCode = facts.statusCode ?? "";
    this.isUnconnected = facts.isUnconnected ?? false;
  }
}
