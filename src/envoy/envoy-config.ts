// SPDX-License-Identifier: Apache-2.0

/** How Envoy is run and ended. */
export interface EnvoyConfig {
  readonly binaryPath: string;
  /** Everything after the program name. */
  readonly args: readonly string[];
  /** Envoy's whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Undefined: the agent's own user. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  readonly admin: EnvoyAdminAddress;
  readonly drain: DrainConfig;
  /** Undefined: Envoy's end is the agent's end. `ATTACHE_ENVOY_RESTARTS`. */
  readonly restarts: RestartConfig | undefined;
  /** Undefined: Envoy runs as one epoch only. `ATTACHE_HOT_RESTART`. */
  readonly hotRestart: HotRestartConfig | undefined;
}

/** How often an Envoy that ended by itself is started again. */
export interface RestartConfig {
  /** Starts again at most this often within the window; the next end is the agent's. */
  readonly budget: number;
  readonly windowMs: number;
}

/** How a new Envoy takes over from the running one. */
export interface HotRestartConfig {
  /** Envoy's base id: the same for all epochs, another one for each agent of a machine. 0 to 4,294,967,295. */
  readonly baseId: number;
  /** A new epoch that is not live by then is ended, and the old one goes on. */
  readonly liveWithinMs: number;
  /** The old epoch drains its connections for this long, then ends. */
  readonly parentShutdownMs: number;
}

export interface EnvoyAdminAddress {
  /** A loopback address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** The agent is gone `periodMs + killAfterMs` after the signal at the latest, whatever Envoy and its clients do. */
export interface DrainConfig {
  /** Which listeners a drain asks clients to leave: those of a sidecar that are marked inbound, or all of a gateway. */
  readonly direction: "inbound" | "all";
  /** From the signal to SIGTERM for Envoy, when connections stay open. ProxyConfig `terminationDrainDuration`. */
  readonly periodMs: number;
  /** Not ended before this, even with no connection open; never above the period. `MINIMUM_DRAIN_DURATION`. */
  readonly minimumMs: number;
  /** Clients are asked to leave after a random part of this; it lengthens nothing. `ATTACHE_DRAIN_JITTER`. */
  readonly jitterMs: number;
  /** From SIGTERM to SIGKILL. */
  readonly killAfterMs: number;
  /** Whether nobody's telling of connections counts as none: there is no period to wait for. */
  readonly endsUncounted: boolean;
  /** Whether the ports of connections tell whose they are: not where they are intercepted as they are (TPROXY). */
  readonly countsSockets: boolean;
  /** Ports of listeners whose connections do not count as open: probes, metrics. */
  readonly uncountedPorts: readonly number[];
}
