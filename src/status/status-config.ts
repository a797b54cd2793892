// SPDX-License-Identifier: Apache-2.0

export interface StatusConfig {
  /** Of the status server; 0 turns it off. */
  readonly port: number;
  /** Application probes by the path under which they are asked for, such as `/app-health/web/livez`. */
  readonly appProbes: Readonly<Record<string, AppProbe>>;
  /** Where the application is: the pod's IP, or a loopback name. */
  readonly appHost: string;
  /** The address that application probes come from, which traffic capture leaves alone. */
  readonly probeSourceAddress: string;
  readonly probeKeepalive: boolean;
  readonly probeHttp2: boolean;
  /** Metrics only for callers on loopback. */
  readonly metricsLocalhostOnly: boolean;
  readonly scrape: ScrapeConfig;
  readonly readiness: ReadinessMode;
  /** Serves `/debug/...` and the status page to callers on loopback. */
  readonly debug: boolean;
}

/**
 * `compatible`: once Envoy has been live, its state is not held against the pod, as with pilot-agent. `strict`: every
 * answer tells Envoy's state of now. Holds, such as an expired certificate, and the end of the agent always count.
 */
export type ReadinessMode = "compatible" | "strict";

export interface AppProbe {
  readonly handler: AppProbeHandler;
  readonly timeoutMs: number;
}

export type AppProbeHandler =
  | { readonly kind: "http"; readonly scheme: "http" | "https"; readonly path: string; readonly port: number }
  | { readonly kind: "tcp"; readonly port: number }
  | { readonly kind: "grpc"; readonly port: number; readonly service: string };

export interface ScrapeConfig {
  /** Envoy's own metrics; undefined leaves them out. */
  readonly envoyPort: number | undefined;
  readonly targets: readonly ScrapeTarget[];
}

export interface ScrapeTarget {
  /** `localhost` unless the application listens elsewhere. */
  readonly host: string;
  readonly scheme: "http" | "https";
  readonly port: number;
  /** With its query. */
  readonly path: string;
}
