// SPDX-License-Identifier: Apache-2.0

/** A bearer token as it is now, or why there is none to send. */
export type BearerToken =
  | { readonly kind: "usable"; readonly text: string }
  | { readonly kind: "unusable"; readonly problem: string; readonly cause?: unknown };

/** Reads the token that the next request carries. */
export type ReadToken = (signal: AbortSignal) => Promise<BearerToken>;
