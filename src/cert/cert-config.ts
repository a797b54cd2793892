// SPDX-License-Identifier: Apache-2.0
import type { SpiffeId } from "../model/spiffe-id.ts";

export type KeyAlgorithm =
  | { readonly kind: "rsa"; readonly bits: number }
  | { readonly kind: "ec"; readonly curve: "P-256" | "P-384" };

export interface CertConfig {
  readonly identity: SpiffeId;
  readonly key: KeyAlgorithm;
  /** PKCS#8 instead of the algorithm's own key form. */
  readonly pkcs8: boolean;
  /** Validity asked from the CA. */
  readonly ttlMs: number;
  readonly rotation: RotationPolicy;
  /**
   * With no valid certificate, and every try refused with PERMISSION_DENIED for this long, the agent gives up; 0 never
   * does. Ten minutes unless set (`ATTACHE_CA_REFUSED_EXIT_AFTER`).
   */
  readonly refusedExitAfterMs: number;
  /**
   * A folder, best in memory, in which the certificate in use outlives a restart of the agent; undefined keeps nothing.
   * `ATTACHE_IDENTITY_CACHE`.
   */
  readonly cacheDirectory: string | undefined;
  /** Where the identity is also written as files; `OUTPUT_CERTS`. */
  readonly output: CertOutputConfig | undefined;
  /** Roots trusted beside those of the certificate's source, as PEM. */
  readonly extraRootsPem: readonly string[];
}

export interface CertOutputConfig {
  readonly directory: string;
  /** Of the key's file. */
  readonly keyMode: number;
  /** Of the chain's and the roots' files. */
  readonly certificateMode: number;
}

export interface RotationPolicy {
  /** Share of the lifetime left at which to rotate, 0 to 1. */
  readonly gracePeriodRatio: number;
  /** Random part added to or taken from the ratio. */
  readonly gracePeriodRatioJitter: number;
  /**
   * The least random part of the delay, as a share of it, however small the jitter is: 0.1 is ±10 %. 0 where the
   * operator chose the jitter.
   */
  readonly leastSpread: number;
  /** No rotation sooner than this after the last, however short the certificate. */
  readonly floorMs: number;
}
