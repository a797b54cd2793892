// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";

/**
 * What kind of failure it was: nobody answered; the CA said no; it said something that cannot be understood; or what
 * is needed for the call is missing on this side.
 */
export type CaFailure = "unreachable" | "refused" | "malformed-response" | "misconfigured";

/** A try to have a certificate signed failed. The next may succeed: tokens, roots and CAs change. */
export class CaError extends AgentError {
  readonly code = "AGENT_CA";
  readonly failure: CaFailure;
  /** The CA as it was addressed. */
  readonly address: string;
  /** The least wait that the CA asked for; 0 when it asked for none. */
  readonly retryAfterMs: number;
  /** The CA knows who asks and will not sign for it: repeating alone will not help. */
  readonly permanent: boolean;
  /** The status of the call, as its protocol names it; empty where there was none. */
  readonly answerCode: string;
  /** There was no connection, so the CA was asked nothing. */
  readonly unconnected: boolean;
  constructor(
    failure: CaFailure,
    address: string,
    text: string,
    more: {
      readonly retryAfterMs?: number;
      readonly permanent?: boolean;
      readonly answerCode?: string;
      readonly unconnected?: boolean;
      readonly cause?: unknown;
    } = {},
  ) {
    super(`have a certificate signed by ${address}: ${text}`, { cause: more.cause });
    this.failure = failure;
    this.address = address;
    this.retryAfterMs = more.retryAfterMs ?? 0;
    this.permanent = more.permanent ?? false;
    this.answerCode = more.answerCode ?? "";
    this.unconnected = more.unconnected ?? false;
  }
}
