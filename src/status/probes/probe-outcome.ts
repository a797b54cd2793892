// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders } from "node:http";
import type { Budget } from "../../lib/budget.ts";
import type { StatusConfig } from "../status-config.ts";

/** Where the application is and how its probes connect to it. */
export type ProbeSettings = Pick<
  StatusConfig,
  "port" | "appHost" | "probeSourceAddress" | "probeKeepalive" | "probeHttp2"
>;

/** Of the application's response to a probe. */
export interface ProbeLimits {
  readonly headerBytes: Budget;
  readonly bodyBytes: Budget;
}

/** Connection options for `net`, `tls`, `http` and `https` alike. */
export interface ProbeAddress {
  readonly host: string;
  readonly localAddress?: string;
  readonly family?: 4 | 6;
}

/** The part of the kubelet's request that is forwarded to the application. */
export interface ProbeRequest {
  /** Names and values alternate, as received: repeated headers stay repeated. */
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingHttpHeaders;
}

/** The application's response to one request. */
export interface ProbeResponse {
  readonly status: number;
  readonly location: string | undefined;
  readonly body: Uint8Array;
}

export type ProbeOutcome =
  /** The application's own HTTP response. */
  | { readonly kind: "responded"; readonly status: number; readonly body: Uint8Array }
  /** TCP connected, the gRPC health service is SERVING, or an HTTP redirect leads elsewhere. */
  | { readonly kind: "passed" }
  /** `side` is where the fault lies: the application, or the agent, which could not send the probe. */
  | { readonly kind: "failed"; readonly side: "app" | "agent"; readonly reason: string };
