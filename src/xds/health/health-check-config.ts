// SPDX-License-Identifier: Apache-2.0

/** How the workload is asked whether it is well, for a control plane that registers it. ProxyConfig `readinessProbe`. */
export interface HealthCheckConfig {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  /** For one check, the connection included. */
  readonly timeoutMs: number;
  /** Equal results in a row that make a change. */
  readonly successThreshold: number;
  readonly failureThreshold: number;
  readonly method: HealthCheckMethod;
  /** The source of HTTP and TCP checks, which traffic capture leaves alone; undefined leaves it to the system. */
  readonly sourceAddress: string | undefined;
}

export type HealthCheckMethod =
  | {
      readonly kind: "http";
      readonly scheme: "http" | "https";
      readonly host: string;
      readonly port: number;
      readonly path: string;
      /** A `Host` among them replaces the target's own. */
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "grpc"; readonly host: string; readonly port: number; readonly service: string }
  | { readonly kind: "exec"; readonly command: readonly [program: string, ...args: string[]] };
