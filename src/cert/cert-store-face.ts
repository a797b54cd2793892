// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import type { Secret } from "../model/secret.ts";

/** What the store takes of the agent. */
export interface CertDeps extends Deps {
  readonly hold: IdentityHold;
  readonly metrics: CertMetrics;
}

/** Keeps the workload from being ready while it has no valid certificate. */
export interface IdentityHold {
  set(detail: string): void;
  release(): void;
}

/** Called as things happen; must not throw. */
export interface CertMetrics {
  /**
   * A try ended.
   * @param outcome "ok", or the kind of failure: a small closed set of words
   * @param answerCode the status of the call, where there was one
   */
  signed(outcome: string, durationMs: number, answerCode?: string): void;
}

/** The workload's identity as it changes. Disposing ends renewal; what was handed out stays valid. */
export interface CertStore extends AsyncDisposable {
  /** Yields the current secret as soon as there is one, then every other one, until the signal aborts. */
  watch(name: "default" | "ROOTCA", signal: AbortSignal): AsyncIterable<Secret>;
  status(): CertStatus;
  /** Replaces the roots that the mesh's control plane distributes; what cannot be read of them is left out. */
  setMeshAnchors(pems: readonly string[]): void;
}

/** A snapshot for status pages and metrics. Times are milliseconds since the epoch. */
export interface CertStatus {
  readonly state: "none" | "valid" | "expired";
  /** Where certificates come from: "ca", or the provider's name. */
  readonly source: string;
  readonly spiffeId: string;
  /** Of the certificate in use; undefined before the first. */
  readonly serial: string | undefined;
  readonly notBeforeMs: number | undefined;
  readonly notAfterMs: number | undefined;
  /** When the next try is due. */
  readonly rotationDueMs: number | undefined;
  readonly rootsFirstExpiryMs: number | undefined;
  /** When a root came that was not there before. */
  readonly rootsSinceMs: number | undefined;
  readonly attempts: number;
  /** Certificates accepted so far. */
  readonly issued: number;
  readonly failuresInARow: number;
  /** Why the last try failed; undefined after a good one. */
  readonly lastError: string | undefined;
  readonly lastSuccessMs: number | undefined;
  /** By how much the last certificate began in the future, as a measure of this machine's clock being behind. */
  readonly clockSkewMs: number;
  /** The mark, in percent of its life left, that the certificate fell below unrenewed: 50, 25 or 10. */
  readonly lifeAlarmPercent: number | undefined;
}
