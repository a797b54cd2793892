// SPDX-License-Identifier: Apache-2.0

/** How a workload outside Kubernetes is probed. ProxyConfig `readinessProbe`, from a WorkloadGroup's `probe`. */
export interface WorkloadHealthConfig {
  readonly initialDelayMs: number;
  readonly timeoutMs: number;
  readonly periodMs: number;
  /** So many in a row make it healthy, or unhealthy; at least 1. */
  readonly successThreshold: number;
  readonly failureThreshold: number;
  readonly handler: WorkloadProbeHandler;
}

export type WorkloadProbeHandler =
  | {
      readonly kind: "http";
      /** Certificates are not verified, as Kubernetes does not. */
      readonly scheme: "http" | "https";
      readonly host: string;
      readonly port: number;
      readonly path: string;
      /** In their order; `Host` sets the host. */
      readonly headers: readonly { readonly name: string; readonly value: string }[];
      /** The address that the probe comes from. */
      readonly sourceAddress: string;
    }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "grpc"; readonly host: string; readonly port: number; readonly service: string }
  /** Healthy when it ends with 0. */
  | { readonly kind: "exec"; readonly command: readonly string[] };
