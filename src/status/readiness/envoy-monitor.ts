// SPDX-License-Identifier: Apache-2.0
import { type Clock, DeadlineError, deadline } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import type { EnvoyReadinessSource, ReadinessSources } from "../status-sources.ts";
import { envoyChecks, envoyObstacle, isInitializing, listenerCheck, lostListeners } from "./envoy-conditions.ts";
import type { ReadinessCheck } from "./readiness-report.ts";

export interface EnvoyStatus {
  /** Why Envoy cannot serve, in one line; undefined when it can. */
  readonly obstacle: string | undefined;
  /** The listeners that Envoy lost, in one line; undefined when it lost none, or when they were not read. */
  readonly lost: string | undefined;
  readonly checks: readonly ReadinessCheck[];
}

/** For a verdict: above both limits that the queries to Envoy have of their own. */
const verdictWithinMs = 4_000;
/** For a person, all queries together: an Envoy that does not respond is what they want to know. */
const reportWithinMs = 300;

export interface EnvoyReading {
  readonly withListeners: boolean;
  readonly purpose: "verdict" | "report";
}

/** Reads Envoy's readiness. Concurrent callers share one read. */
export class EnvoyMonitor {
  readonly #source: EnvoyReadinessSource;
  readonly #onEnvoySeen: ReadinessSources["onEnvoySeen"];
  readonly #clock: Clock;
  /** How often Envoy had failed when it was live the last time; undefined before it was live. */
  #failuresWhenLive: number | undefined;
  readonly #reads = new Map<string, Promise<EnvoyStatus>>();

  constructor(source: EnvoyReadinessSource, onEnvoySeen: ReadinessSources["onEnvoySeen"], clock: Clock) {
    this.#source = source;
    this.#onEnvoySeen = onEnvoySeen;
    this.#clock = clock;
  }

  /** Whether Envoy was live since it failed the last time. */
  get wasLive(): boolean {
    return this.#failuresWhenLive === this.#failures().count;
  }

  read(reading: EnvoyReading): Promise<EnvoyStatus> {
    const key = `${reading.purpose} ${String(reading.withListeners)}`;
    const running = this.#reads.get(key);
    if (running !== undefined) return running;
    const read = this.#read(reading).finally(() => this.#reads.delete(key));
    this.#reads.set(key, read);
    return read;
  }

  async #read({ withListeners, purpose }: EnvoyReading): Promise<EnvoyStatus> {
    using limit = deadline(this.#clock, purpose === "report" ? reportWithinMs : verdictWithinMs);
    try {
      return await this.#status(withListeners, limit.signal);
    } catch (error) {
      return this.#unreachable(error);
    }
  }

  async #status(withListeners: boolean, signal: AbortSignal): Promise<EnvoyStatus> {
    // an Envoy that fails after its response was not live since then
    const { count: failures } = this.#failures();
    const envoy = await this.#source.read(signal);
    const obstacle = envoyObstacle(envoy);
    // not before Envoy's state: those of a live Envoy are the reference for listeners that are lost later
    const listeners = withListeners ? await this.#source.listeners?.(signal) : undefined;
    if (obstacle === undefined) {
      if (!withListeners && !this.wasLive) await this.#source.listeners?.(signal).catch(() => undefined);
      this.#failuresWhenLive = failures;
    }
    const initTargets = withListeners && isInitializing(envoy) ? this.#source.initTargets?.(signal) : undefined;
    const checks = envoyChecks(envoy, await initTargets?.catch(() => []));
    this.#onEnvoySeen?.(
      obstacle === undefined ? undefined : { name: "envoy", state: "failed", detail: obstacle, children: checks },
    );
    if (listeners === undefined) return { obstacle, lost: undefined, checks };
    return { obstacle, lost: lostListeners(listeners), checks: [...checks, listenerCheck(listeners)] };
  }

  /** An Envoy that exited and is not running again says more than an admin interface that does not respond. */
  #unreachable(error: unknown): EnvoyStatus {
    const { count, last } = this.#failures();
    const failed = count > (this.#failuresWhenLive ?? 0);
    const name = failed ? "process" : "admin interface";
    const silentMs = failed ? undefined : timeoutOf(error);
    const detail = failed
      ? `Envoy failed with ${last} and is not up again; failures so far: ${String(count)}; read its last lines in the log`
      : silentMs === undefined
        ? describeError(error)
        : `Envoy's admin interface accepts connections, but does not respond within ${String(Math.round(silentMs))} ms`;
    const code = silentMs === undefined ? "envoy-start" : "envoy-silent";
    return { obstacle: detail, lost: undefined, checks: [{ name, code, state: "failed", detail }] };
  }

  #failures(): { readonly count: number; readonly last: string } {
    return this.#source.failures?.() ?? { count: 0, last: "" };
  }
}

/** The deadline of this read, or of one of its queries, that has passed. */
function timeoutOf(error: unknown): number | undefined {
  if (error instanceof DeadlineError) return error.afterMs;
  return error instanceof Error ? timeoutOf(error.cause) : undefined;
}
