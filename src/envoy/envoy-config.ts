// SPDX-License-Identifier: Apache-2.0
import type { EnvoyAdminAddress, ExpectedUpdates } from "../model/bootstrap-facts.ts";

/** How Envoy is run and shut down. */
export interface EnvoyConfig {
  readonly binaryPath: string;
  /** Everything after the program name. */
  readonly args: readonly string[];
  /** Envoy's whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Undefined: the agent's own user. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  readonly admin: EnvoyAdminAddress;
  /** What Envoy receives before it is ready. */
  readonly expects: ExpectedUpdates;
  readonly drain: DrainConfig;
  /** Undefined: the agent exits when Envoy does. `ATTACHE_ENVOY_RESTARTS`. */
  readonly restarts: RestartConfig | undefined;
  /** Undefined: no hot restarts. `ATTACHE_HOT_RESTART`. */
  readonly hotRestart: HotRestartConfig | undefined;
}

/** How often Envoy is restarted after a failure. */
export interface RestartConfig {
  /** Restarts within the window; the agent exits with the next failure. */
  readonly budget: number;
  readonly windowMs: number;
}

/** How a new Envoy takes over from the running Envoy. */
export interface HotRestartConfig {
  /** Envoy's base id: the same for all epochs, a different one for each agent on a machine. 0 to 4,294,967,295. */
  readonly baseId: number;
  /** A new epoch that is not live by then is killed, and the old one stays. */
  readonly liveWithinMs: number;
  /** The old epoch drains its connections for this long, then exits. */
  readonly parentShutdownMs: number;
}

/** The agent exits `periodMs + killAfterMs` after the signal at the latest. */
export interface DrainConfig {
  /** The listeners that are drained: a sidecar drains those marked inbound, a gateway all. */
  readonly direction: "inbound" | "all";
  /**
   * From the signal to SIGTERM for Envoy, if requests or connections stay open. ProxyConfig `terminationDrainDuration`, or
   * the minimum if that is longer.
   */
  readonly periodMs: number;
  /** The drain lasts at least this long, even without traffic; at most the period. `MINIMUM_DRAIN_DURATION`. */
  readonly minimumMs: number;
  /** The drain request is sent after a random part of this; the drain gets no longer. `ATTACHE_DRAIN_JITTER`. */
  readonly jitterMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly killAfterMs: number;
  /** Whether an unknown number of connections counts as none, because there is no fixed period to wait for. */
  readonly endsUncounted: boolean;
  /** Whether ports identify the connections of a listener: not with TPROXY, which keeps the original port. */
  readonly countsSockets: boolean;
  /** Ports of listeners whose connections do not delay the shutdown: probes, metrics. */
  readonly uncountedPorts: readonly number[];
}
