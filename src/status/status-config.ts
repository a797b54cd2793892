// SPDX-License-Identifier: Apache-2.0
import type { ScrapeConfig } from "../model/scrape-target.ts";

export interface StatusConfig {
  /** Of the status server; 0 disables it. */
  readonly port: number;
  /** Application probes by the path of the kubelet's request, such as `/app-health/web/livez`. */
  readonly appProbes: Readonly<Record<string, AppProbe>>;
  /** Where the application is: the pod's IP, or a loopback name. */
  readonly appHost: string;
  /** The source address of application probes, which traffic capture ignores. */
  readonly probeSourceAddress: string;
  readonly probeKeepalive: boolean;
  readonly probeHttp2: boolean;
  /** Serves metrics to callers on loopback only. */
  readonly metricsLocalhostOnly: boolean;
  readonly scrape: ScrapeConfig;
  readonly readiness: ReadinessMode;
  /** Serves `/debug/...` and the status page, to callers on loopback only. */
  readonly debug: boolean;
}

/**
 * `compatible`: Envoy's state counts until Envoy is live, as with pilot-agent. `strict`: Envoy's present state always
 * counts. Holds, such as an expired certificate, and the agent's shutdown count in both modes.
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
