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
}

export interface RotationPolicy {
  /** Share of the lifetime left at which to rotate, 0 to 1. */
  readonly gracePeriodRatio: number;
  /** Random part added to or taken from the ratio. */
  readonly gracePeriodRatioJitter: number;
  /** No rotation sooner than this after the last, however short the certificate. */
  readonly floorMs: number;
}
