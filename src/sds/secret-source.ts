// SPDX-License-Identifier: Apache-2.0
import type { Secret } from "../model/secret.ts";
import type { SecretName } from "./secret-name.ts";

/** What SDS needs of whoever owns the secrets. */
export interface SecretSource {
  /**
   * Yields the current secret as soon as there is one, then every new one, until `signal` fires. While there is
   * nothing to yield it waits: the asker's stream stays open. A certificate that needs other roots than the last is
   * yielded after these roots are.
   * @throws when the name can never be answered; the streams that asked for it end with that error's text
   */
  watch(name: SecretName, signal: AbortSignal): AsyncIterable<Secret>;
}

/** The revocation list that goes with `ROOTCA`. */
export interface CrlSource {
  /** Yields the list as PEM, or undefined when there is none, at once and after each change. */
  watch(signal: AbortSignal): AsyncIterable<string | undefined>;
}
