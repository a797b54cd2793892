// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders } from "node:http";
import type { StatusConfig } from "./status-config.ts";

/** The kubelet's request, as far as the application gets to see it. */
export interface ProbeRequest {
  /** Names and values in turn, as they came: repeated ones stay repeated. */
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingHttpHeaders;
}

/** What a probe came to. */
export type ProbeOutcome =
  /** The application's own answer over HTTP. */
  | { readonly kind: "answered"; readonly status: number; readonly body: Uint8Array }
  /** Connected, or SERVING. */
  | { readonly kind: "passed" }
  /** `side` tells whose fault it is: the application's, or the agent's own, which could not even ask. */
  | { readonly kind: "failed"; readonly side: "app" | "agent"; readonly reason: string };

/** Where and how the application is asked. */
export type ProbeSettings = Pick<
  StatusConfig,
  "port" | "appHost" | "probeSourceAddress" | "probeKeepalive" | "probeHttp2"
>;
