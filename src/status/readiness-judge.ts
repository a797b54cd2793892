// SPDX-License-Identifier: Apache-2.0
import { access } from "node:fs/promises";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { PendingHold } from "../model/readiness.ts";
import {
  envoyChecks,
  envoyObstacle,
  type EnvoyReadinessSource,
  isInitializing,
  listenerCheck,
  listenerObstacle,
} from "./envoy-readiness.ts";
import { type EndedPhase, type ReadinessCheck, type ReadinessReport, waterfall } from "./readiness-report.ts";
import type { ReadinessMode } from "./status-config.ts";

/** What readiness is judged by; `agent/` fits each part to the module that knows. */
export interface ReadinessSources {
  /** What other modules wait for, such as the workload certificate. */
  readonly holds: { pending(): readonly PendingHold[] };
  /** Undefined when the agent runs without Envoy. */
  readonly envoy: EnvoyReadinessSource | undefined;
  /** Why the agent ends, such as `received signal: SIGTERM`, once it does. */
  readonly terminating: () => string | undefined;
  /** Called once, when the pod is ready for the first time. */
  readonly onFirstReady: () => void;
  /** Files that must be there, such as the certificates that a proxyless application reads. */
  readonly requiredFiles?: readonly string[];
  /** Called with what Envoy answers while it cannot serve; with undefined when it can. */
  readonly onEnvoySeen?: (check: ReadinessCheck | undefined) => void;
  /** The steps of the start that have ended so far. */
  readonly startPhases?: () => readonly EndedPhase[];
}

export interface ReadinessVerdict {
  readonly ready: boolean;
  /** What is pending; when ready, only such as do not count. */
  readonly obstacles: readonly Obstacle[];
}

export interface Obstacle {
  readonly name: string;
  /** One line. */
  readonly detail: string;
  readonly sinceMs: number;
  /** Whether the pod is unready because of it. */
  readonly gates: boolean;
  /** Told beside the others, and nothing that is waited for. */
  readonly isNote: boolean;
}

/** An obstacle as it is found, before its time is looked up. */
type Finding = Omit<Obstacle, "sinceMs" | "isNote"> & { readonly sinceMs?: number; readonly isNote?: boolean };

/** Envoy as it stands: what is wrong with it, if anything, and the conditions one by one. */
interface EnvoyStanding {
  readonly obstacle: string | undefined;
  /** The listeners that it lost, in words: an obstacle in strict mode. */
  readonly lost?: string | undefined;
  readonly checks: readonly ReadinessCheck[];
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
  /** How often Envoy had failed when it was live last; undefined before. An Envoy that crashes has all before it again. */
  #liveAfterFailures: number | undefined;
  /** By whether Envoy's listeners are looked at too. */
  readonly #underway = new Map<boolean, Promise<EnvoyStanding>>();
  #told: string | undefined;
  #toldAtMs = 0;
  #wasReady = false;

  constructor(sources: ReadinessSources, mode: ReadinessMode, deps: { readonly clock: Clock; readonly log: Logger }) {
    this.#sources = sources;
    this.#mode = mode;
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  /** What the kubelet is told. Envoy is not asked where its answer could change nothing. */
  async judge(): Promise<ReadinessVerdict> {
    const ask = this.#sources.envoy !== undefined && !this.#isLatched();
    const envoy = ask ? this.#obstacleOf(await this.#envoy(this.#mode === "strict")) : undefined;
    return this.#verdict(envoy, await this.#missingFile());
  }

  /** Whether the last look passed; nobody is asked. */
  get lastReady(): boolean {
    return this.#told === "";
  }

  /** What a person is told: every condition as it is now, and how the start went. */
  async report(): Promise<ReadinessReport> {
    const envoy = this.#sources.envoy === undefined ? undefined : await this.#envoy(true);
    const counted = envoy === undefined || this.#isLatched() ? undefined : this.#obstacleOf(envoy);
    const { ready, obstacles } = this.#verdict(counted, await this.#missingFile());
    const checks = obstacles
      .filter(({ name }) => name !== "envoy")
      .map(({ name, detail, sinceMs, gates }): ReadinessCheck => {
        return { name, ...codeOf(name), state: gates ? "failed" : "not-counted", detail, sinceMs };
      });
    if (envoy !== undefined) checks.unshift(this.#envoyCheck(envoy, counted !== undefined, obstacles));
    return { ready, checks, phases: waterfall(this.#sources.startPhases?.() ?? []) };
  }

  /** Lost listeners count in strict mode only: pilot-agent does not know of them. */
  #obstacleOf({ obstacle, lost }: EnvoyStanding): string | undefined {
    return obstacle ?? (this.#mode === "strict" ? lost : undefined);
  }

  #envoyCheck(envoy: EnvoyStanding, counts: boolean, obstacles: readonly Obstacle[]): ReadinessCheck {
    const { checks: children, obstacle = envoy.lost } = envoy;
    if (obstacle === undefined) return { name: "envoy", state: "passed", children };
    if (!counts) return { name: "envoy", state: "not-counted", detail: obstacle, children };
    const sinceMs = obstacles.find(({ name }) => name === "envoy")?.sinceMs ?? this.#clock.now();
    return { name: "envoy", state: "failed", detail: obstacle, sinceMs, children };
  }

  #isLatched(): boolean {
    return this.#mode === "compatible" && this.#liveAfterFailures === this.#failures().count;
  }

  #failures(): { readonly count: number; readonly last: string } {
    return this.#sources.envoy?.failures?.() ?? { count: 0, last: "" };
  }

  async #missingFile(): Promise<string | undefined> {
    for (const path of this.#sources.requiredFiles ?? []) {
      const isThere = await access(path).then(
        () => true,
        () => false,
      );
      if (!isThere) return path;
    }
    return undefined;
  }

  #verdict(envoy: string | undefined, missingFile: string | undefined): ReadinessVerdict {
    const found: Finding[] = [];
    const cause = this.#sources.terminating();
    if (cause !== undefined) found.push({ name: "termination", detail: `server is terminated: ${cause}`, gates: true });
    if (envoy !== undefined) found.push({ name: "envoy", detail: envoy, gates: true });
    if (missingFile !== undefined) {
      found.push({ name: "certificate files", detail: `${missingFile} does not exist`, gates: true });
    }
    for (const { name, detail = "pending", sinceMs, gates, isNote } of this.#sources.holds.pending()) {
      found.push({ name, detail, sinceMs, isNote, gates: !isNote && (gates || this.#mode === "strict") });
    }
    const obstacles = this.#dated(found);
    this.#tell(obstacles.filter(({ gates }) => gates));
    return { ready: obstacles.every(({ gates }) => !gates), obstacles };
  }

  #envoy(withListeners: boolean): Promise<EnvoyStanding> {
    const underway = this.#underway.get(withListeners);
    if (underway !== undefined) return underway;
    const asked = this.#askEnvoy(withListeners).finally(() => this.#underway.delete(withListeners));
    this.#underway.set(withListeners, asked);
    return asked;
  }

  async #askEnvoy(withListeners: boolean): Promise<EnvoyStanding> {
    const { envoy: source } = this.#sources;
    using limit = deadline(this.#clock, envoyTimeoutMs);
    const { signal } = limit;
    try {
      const [envoy, listeners] = await Promise.all([
        source?.read(signal),
        withListeners ? source?.listeners?.(signal) : undefined,
      ]);
      if (envoy === undefined) return { obstacle: undefined, checks: [] };
      const obstacle = envoyObstacle(envoy);
      if (obstacle === undefined) {
        const { count } = this.#failures();
        // what it has when it is ready first is seen once, so that the tree can tell later what is missing
        if (!withListeners && this.#liveAfterFailures !== count)
          await source?.listeners?.(signal).catch(() => undefined);
        this.#liveAfterFailures = count;
      }
      const waits = withListeners && isInitializing(envoy) ? source?.initTargets?.(signal) : undefined;
      const checks = envoyChecks(envoy, await waits?.catch(() => []));
      this.#sources.onEnvoySeen?.(
        obstacle === undefined ? undefined : { name: "envoy", state: "failed", detail: obstacle, children: checks },
      );
      if (listeners === undefined) return { obstacle, checks };
      return { obstacle, lost: listenerObstacle(listeners), checks: [...checks, listenerCheck(listeners)] };
    } catch (error) {
      const { count, last } = this.#failures();
      // an Envoy that does not come up again is worth more words than that nobody answers
      const failed = count > (this.#liveAfterFailures ?? 0);
      const detail = failed
        ? `Envoy ended with ${last} and is not up again, ${times(count)} so far`
        : describeError(error);
      const name = failed ? "process" : "admin interface";
      return { obstacle: detail, checks: [{ name, code: "envoy-start", state: "failed", detail }] };
    }
  }

  /** Gives each obstacle the time at which its name first appeared in a row. */
  #dated(found: readonly Finding[]): readonly Obstacle[] {
    const names = new Set(found.map(({ name }) => name));
    for (const name of this.#since.keys()) if (!names.has(name)) this.#since.delete(name);
    return found.map((finding) => {
      const since = finding.sinceMs ?? this.#since.get(finding.name) ?? this.#clock.now();
      this.#since.set(finding.name, since);
      return { isNote: false, ...finding, sinceMs: since };
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

/** Of a hold that waits for a step of the start under another name. */
function codeOf(name: string): Pick<ReadinessCheck, "code"> {
  return name === "identity" ? { code: "certificate" } : {};
}

function times(count: number): string {
  return count === 1 ? "once" : `${String(count)} times`;
}
