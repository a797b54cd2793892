// SPDX-License-Identifier: Apache-2.0

/** How the health of a workload outside Kubernetes is checked. ProxyConfig `readinessProbe`. */
export interface WorkloadCheck {
  readonly method: WorkloadCheckMethod;
  /** For connection and response together. */
  readonly timeoutMs: number;
  /** The source address of HTTP checks, which traffic capture ignores; undefined leaves it to the system. */
  readonly sourceAddress: string | undefined;
}

export type WorkloadCheckMethod =
  | {
      readonly kind: "http";
      readonly scheme: "http" | "https";
      readonly host: string;
      readonly port: number;
      readonly path: string;
      /** In order; a `Host` header replaces the target's own. */
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "grpc"; readonly host: string; readonly port: number; readonly service: string }
  /** Healthy when it exits with 0. */
  | { readonly kind: "exec"; readonly command: readonly [program: string, ...args: string[]] };
