// SPDX-License-Identifier: Apache-2.0
import type { Counter, Gauge } from "../lib/metrics.ts";
import type { SecretName } from "./secret-name.ts";

/**
 * What the SDS server counts in. The label `resource` is `default`, `ROOTCA`, `file-cert` or `file-root`: a closed set,
 * whatever paths clients request.
 */
export interface SdsMetrics {
  /** Open streams. */
  readonly streams: Gauge;
  /** By resource: streams that subscribe to it. */
  readonly subscribers: Gauge;
  /** By resource: secrets sent, as a response or as a push. */
  readonly sent: Counter;
  /** By resource: secrets that the client accepted. */
  readonly acks: Counter;
  /** By resource: secrets that the client rejected. */
  readonly nacks: Counter;
  /** By type, which is `sds`: the same for all resources together. */
  readonly rejects: Counter;
  /** By type, which is `sds`: requests about a response that is not the last. */
  readonly expiredNonces: Counter;
  /** By gRPC status: requests that ended their stream. */
  readonly refusals: Counter;
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
