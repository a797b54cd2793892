// SPDX-License-Identifier: Apache-2.0
import type { DomainRoots } from "./trust-domains.ts";

/** A workload's certificate with its key, ready to be used. */
export interface WorkloadCertificate {
  /** Leaf first, then intermediates; self-signed roots are not part of it. Each block ends with a newline. */
  readonly chainPem: string;
  /** PKCS#1, SEC1 or PKCS#8. Never logged, never in an error. */
  readonly keyPem: string;
  readonly spiffeId: string;
  /** Upper-case hexadecimal, as Node and OpenSSL print it. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The roots against which peers are verified: PEM blocks, each once, each ending with a newline. */
export interface TrustBundle {
  readonly rootsPem: string;
  /**
   * Peers are verified by the roots of their own trust domain only, and peers of other trust domains are rejected. Sorted
   * by name. Undefined: `rootsPem` verifies every peer.
   */
  readonly domains?: readonly DomainRoots[] | undefined;
}

/** A secret that SDS serves to Envoy. */
export type Secret =
  | ({ readonly kind: "certificate" } & WorkloadCertificate)
  | ({ readonly kind: "trust-bundle" } & TrustBundle);
