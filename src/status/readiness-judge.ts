// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { PendingHold } from "../model/readiness.ts";
import { type EnvoyReadinessSource, envoyObstacle } from "./envoy-readiness.ts";

/** What readiness is judged by; `agent/` fits each part to the room that knows. */
export interface ReadinessSources {
  /** What other rooms wait for, such as the workload certificate. */
  readonly holds: { pending(): readonly PendingHold[] };
  /** Undefined when the agent runs without Envoy. */
  readonly envoy: EnvoyReadinessSource | undefined;
  /** Why the agent ends, such as `received signal: SIGTERM`, once it does. */
  readonly terminating: () => string | undefined;
  /** Called once, when the pod is ready for the first time. */
  readonly onFirstReady: () => void;
}

/**
 * `compatible`: once Envoy has been live, its state is not held against the pod, as with pilot-agent. `strict`: every
 * answer tells Envoy's state of now. Holds and the end of the agent always count.
 */
export type ReadinessMode = "compatible" | "strict";

export interface ReadinessVerdict {
  readonly ready: boolean;
  /** Empty when ready. */
  readonly obstacles: readonly Obstacle[];
}

export interface Obstacle {
  readonly name: string;
  /** One line. */
  readonly detail: string;
  readonly sinceMs: number;
}

/** An unready pod is told about again after this long, though nothing changed. */
const repeatWarningMs = 60_000;
/** Above both of the limits that the queries to Envoy have of their own. */
const envoyTimeoutMs = 4_000;

/** Answers whether the pod is ready. Callers at the same time share one question to Envoy. */
export class ReadinessJudge {
  readonly #sources: ReadinessSources;
  readonly #mode: ReadinessMode;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #since = new Map<string, number>();
  #envoyWasLive = false;
  #underway: Promise<ReadinessVerdict> | undefined;
  #told: string | undefined;
  #toldAtMs = 0;
  #wasReady = false;

  constructor(sources: ReadinessSources, mode: ReadinessMode, deps: { readonly clock: Clock; readonly log: Logger }) {
    this.#sources = sources;
    this.#mode = mode;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  judge(): Promise<ReadinessVerdict> {
    this.#underway ??= this.#judge().finally(() => {
      this.#underway = undefined;
    });
    return this.#underway;
  }

  async #judge(): Promise<ReadinessVerdict> {
    const found: { name: string; detail: string; sinceMs?: number }[] = [];
    const envoy = await this.#envoyObstacle();
    const cause = this.#sources.terminating();
    if (cause !== undefined) found.push({ name: "termination", detail: `server is terminated: ${cause}` });
    if (envoy !== undefined) found.push({ name: "envoy", detail: envoy });
    for (const hold of this.#sources.holds.pending()) {
      found.push({ name: hold.name, detail: hold.detail ?? "pending", sinceMs: hold.sinceMs });
    }
    const obstacles = this.#dated(found);
    this.#tell(obstacles);
    return { ready: obstacles.length === 0, obstacles };
  }

  async #envoyObstacle(): Promise<string | undefined> {
    const { envoy } = this.#sources;
    if (envoy === undefined || (this.#envoyWasLive && this.#mode === "compatible")) return undefined;
    try {
      const obstacle = envoyObstacle(await envoy.read(AbortSignal.timeout(envoyTimeoutMs)));
      if (obstacle === undefined) this.#envoyWasLive = true;
      return obstacle;
    } catch (error) {
      return describeError(error);
    }
  }

  /** Gives each obstacle the time at which its name first appeared in a row. */
  #dated(found: readonly { name: string; detail: string; sinceMs?: number }[]): readonly Obstacle[] {
    const names = new Set(found.map(({ name }) => name));
    for (const name of this.#since.keys()) if (!names.has(name)) this.#since.delete(name);
    return found.map(({ name, detail, sinceMs }) => {
      const since = sinceMs ?? this.#since.get(name) ?? this.#clock.now();
      this.#since.set(name, since);
      return { name, detail, sinceMs: since };
    });
  }

  /** Once per change and once a minute, not once per probe. */
  #tell(obstacles: readonly Obstacle[]): void {
    const nowMs = this.#clock.monotonicMs();
    const told = obstacles.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
    const changed = told !== this.#told;
    if (!changed && (told === "" || nowMs - this.#toldAtMs < repeatWarningMs)) return;
    this.#told = told;
    this.#toldAtMs = nowMs;
    if (told !== "") this.#log.warn("Envoy proxy is NOT ready", { reason: told });
    else {
      this.#log.info("Envoy proxy is ready");
      if (!this.#wasReady) this.#sources.onFirstReady();
      this.#wasReady = true;
    }
  }
}

/** The body of a 503: one line for each thing that is pending, oldest first where that is known. */
export function renderObstacles(obstacles: readonly Obstacle[]): string {
  return obstacles
    .map(({ name, detail, sinceMs }) => `${name}: ${detail} (since ${new Date(sinceMs).toISOString()})\n`)
    .join("");
}
