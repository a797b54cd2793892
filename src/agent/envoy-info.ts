// SPDX-License-Identifier: Apache-2.0
import type { EnvoyAdmin, SupervisedEnvoy } from "../envoy/index.ts";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import type { EnvoyFacts } from "../status/index.ts";

/** For the page and the log: neither waits longer for an Envoy that does not respond. */
const answerWithinMs = 300;

interface ServerInfo {
  readonly version: string;
  readonly state: string;
}

interface EnvoyInfoOptions {
  readonly envoy: SupervisedEnvoy;
  readonly admin: Pick<EnvoyAdmin, "serverInfo">;
  readonly describeExit: (exit: NonNullable<SupervisedEnvoy["exit"]>) => string;
}

/** What Envoy says about itself, and what the agent knows of its process. Reads nothing until somebody asks. */
export class EnvoyInfo {
  readonly #options: EnvoyInfoOptions;
  readonly #clock: Clock;
  #reading: Promise<ServerInfo | undefined> | undefined;
  #version: string | undefined;

  constructor(options: EnvoyInfoOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** @returns undefined when Envoy does not respond in time. Never fails. Concurrent callers share one read */
  read(signal?: AbortSignal): Promise<ServerInfo | undefined> {
    this.#reading ??= this.#read(signal).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async facts(): Promise<EnvoyFacts> {
    const { envoy, describeExit } = this.#options;
    const isRunning = envoy.pids.length > 0;
    const info = isRunning ? await this.read() : undefined;
    const { counts, lastFailure, pid, startedAtMs } = envoy;
    const { admin } = envoy.current;
    return {
      version: this.#version,
      state: isRunning ? (info?.state ?? "NO RESPONSE") : "EXITED",
      pid,
      startedAtMs,
      restarts: {
        count: counts.restarts,
        hotRestarts: counts.hotRestarts,
        failedHotRestarts: counts.failedHotRestarts,
        failures: counts.failures,
        lastFailure: lastFailure === undefined ? undefined : describeExit(lastFailure),
      },
      adminAddress: "port" in admin ? formatHostPort(admin) : admin.socketPath,
    };
  }

  async #read(signal?: AbortSignal): Promise<ServerInfo | undefined> {
    using limit = deadline(this.#clock, answerWithinMs, signal);
    try {
      const info = await this.#options.admin.serverInfo(limit.signal);
      if (info.version !== "") this.#version = info.version;
      return info;
    } catch {
      return undefined;
    }
  }
}
