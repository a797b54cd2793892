// SPDX-License-Identifier: Apache-2.0
import { Measure } from "../lib/measures.ts";
import type { SecretName } from "./secret-name.ts";

/**
 * What the SDS server counts. The label `resource` is `default`, `ROOTCA`, `file-cert` or `file-root`: a closed set,
 * whatever paths are asked for.
 */
export interface SdsMetrics {
  /** Gauge: open streams. */
  readonly streams: Measure;
  /** Gauge, by resource: streams that subscribe to it. */
  readonly subscribers: Measure;
  /** Counter, by resource: secrets sent, be it as an answer or as a push. */
  readonly sent: Measure;
  /** Counter, by resource: secrets that the client accepted. */
  readonly acks: Measure;
  /** Counter, by resource: secrets that the client rejected. */
  readonly nacks: Measure;
  /** Counter: requests about an answer that is not the last. */
  readonly staleNonces: Measure;
  /** Counter, by reason: requests that ended their stream. */
  readonly refusals: Measure;
}

const resources = [["default"], ["ROOTCA"]] as const;

/** All series that are certain to come exist, at 0, from the start. */
export function createSdsMetrics(): SdsMetrics {
  return {
    streams: new Measure(),
    subscribers: new Measure(["resource"], resources),
    sent: new Measure(["resource"], resources),
    acks: new Measure(["resource"], resources),
    nacks: new Measure(["resource"], resources),
    staleNonces: new Measure(),
    refusals: new Measure(["reason"]),
  };
}

/** The label value for a name. */
export function resourceLabel(name: SecretName): string {
  switch (name.kind) {
    case "workload-certificate":
    case "trust-bundle":
      return name.text;
    case "file-certificate":
      return "file-cert";
    case "file-roots":
    case "system-roots":
      return "file-root";
  }
}

/** A moment in a secret's delivery, for the record of what happened. Holds no secret. */
export type SdsEvent =
  | { readonly kind: "subscribed" | "unsubscribed"; readonly resource: string }
  | { readonly kind: "sent"; readonly resource: string; readonly version: string; readonly durationMs: number }
  | { readonly kind: "accepted"; readonly resource: string; readonly version: string }
  | { readonly kind: "rejected"; readonly resource: string; readonly version: string; readonly reason: string }
  | { readonly kind: "stale-nonce" }
  | { readonly kind: "refused" | "failed"; readonly reason: string };
