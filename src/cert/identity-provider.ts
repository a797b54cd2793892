// SPDX-License-Identifier: Apache-2.0
import type { ProvidedIdentityEvent } from "../model/provided-identity.ts";

/** Provides whole identities, key included, and renews them itself: mounted files, a SPIFFE agent. */
export interface IdentityProvider {
  /** For the status and the log. */
  readonly name: string;
  /** Yields each identity and each problem; during a problem the last good identity stays in use. */
  watch(signal: AbortSignal): AsyncIterable<ProvidedIdentityEvent>;
}
