// SPDX-License-Identifier: Apache-2.0

export interface SdsConfig {
  readonly socketPath: string;
  /** 0600 when agent and Envoy share a user; wider only where they do not. */
  readonly socketMode: number;
  /** Absolute folders from which `file-cert:` and `file-root:` names are served, with all below them. Empty: none. */
  readonly fileDirectories: readonly string[];
  /** How Envoy does its private-key operations, for every certificate. */
  readonly privateKeyProvider: PrivateKeyProvider;
  /** Revocation list that goes with `ROOTCA` when the file exists; undefined never looks. */
  readonly crlPath: string | undefined;
}

/** Source: istio mesh/v1alpha1/proxy.proto, PrivateKeyProvider */
export type PrivateKeyProvider =
  | { readonly kind: "none" }
  | {
      readonly kind: "cryptomb" | "qat";
      /** How long Envoy collects operations; may have a fraction. */
      readonly pollDelayMs: number;
      /** Plain software keys where the hardware is missing, instead of a refused secret. */
      readonly fallback: boolean;
    };
