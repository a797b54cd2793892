// SPDX-License-Identifier: Apache-2.0

/** How a workload outside Kubernetes is asked once whether it is well. ProxyConfig `readinessProbe`. */
export interface WorkloadCheck {
  readonly method: WorkloadCheckMethod;
  /** For the connection and the answer together. */
  readonly timeoutMs: number;
  /** The source of HTTP checks, which traffic capture leaves alone; undefined leaves it to the system. */
  readonly sourceAddress: string | undefined;
}

export type WorkloadCheckMethod =
  | {
      readonly kind: "http";
      readonly scheme: "http" | "https";
      readonly host: string;
      readonly port: number;
      readonly path: string;
      /** In their order; a `Host` among them replaces the target's own. */
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "grpc"; readonly host: string; readonly port: number; readonly service: string }
  /** Well when it ends with 0. */
  | { readonly kind: "exec"; readonly command: readonly [program: string, ...args: string[]] };
