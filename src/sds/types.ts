// SPDX-License-Identifier: Apache-2.0
import type { Counter, Gauge } from "../lib/metrics.ts";
import type { Secret } from "../model/secret.ts";
import type { SecretName } from "./secret-name.ts";

export interface SdsConfig {
  readonly socketPath: string;
  /** 0600 when agent and Envoy share a user; wider only when they do not. */
  readonly socketMode: number;
  /** Absolute directories below which `file-cert:` and `file-root:` names are served. Empty: none. */
  readonly fileDirectories: readonly string[];
  /** How Envoy does its private-key operations, for every certificate. */
  readonly privateKeyProvider: PrivateKeyProvider;
  /** The revocation list that is served with `ROOTCA` while the file exists; undefined for none. */
  readonly crlPath: string | undefined;
}

/** Source: istio mesh/v1alpha1/proxy.proto, PrivateKeyProvider */
export type PrivateKeyProvider =
  | { readonly kind: "none" }
  | {
      readonly kind: "cryptomb" | "qat";
      /** How long Envoy collects operations; may have a fraction. */
      readonly pollDelayMs: number;
      /** Where the hardware is missing, Envoy uses plain software keys instead of rejecting the secret. */
      readonly fallback: boolean;
    };

/** What SDS needs of the owner of the secrets. */
export interface SecretSource {
  /**
   * Yields the current secret as soon as there is one, then each new one, until `signal` aborts. While there is none it
   * waits, and the client's stream stays open. Roots are yielded before a certificate that needs them.
   * @throws when the name can never be served; the streams that subscribe to it end with the error's text
   */
  watch(name: SecretName, signal: AbortSignal): AsyncIterable<Secret>;
}

/** The revocation list that is served with `ROOTCA`. */
export interface CrlSource {
  /** Yields the list as PEM, or undefined when there is none, at once and after each change. */
  watch(signal: AbortSignal): AsyncIterable<string | undefined>;
}

/**
 * What the SDS server counts in. The label `resource` is `default`, `ROOTCA`, `spiffe-cert`, `spiffe-root`, `file-cert` or `file-root`: a closed set,
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
  readonly rejectedRequests: Counter;
}

/** A step in a secret's delivery. Contains no secret. */
export type SdsEvent =
  | { readonly kind: "subscribed" | "unsubscribed"; readonly resource: string }
  | { readonly kind: "sent"; readonly resource: string; readonly version: string; readonly durationMs: number }
  | { readonly kind: "accepted"; readonly resource: string; readonly version: string }
  | { readonly kind: "rejected"; readonly resource: string; readonly version: string; readonly reason: string }
  | { readonly kind: "stale-nonce" }
  /** A request that is rejected, or that fails, ends its stream. */
  | { readonly kind: "request-rejected" | "request-failed"; readonly reason: string };
