// SPDX-License-Identifier: Apache-2.0
import { access } from "node:fs/promises";
import type { Clock } from "../../lib/async/clock.ts";
import type { Logger } from "../../lib/log/log.ts";
import { OutageLog } from "../../lib/log/outage-log.ts";
import type { ReadinessMode } from "../status-config.ts";
import type { ReadinessSources } from "../status-sources.ts";
import { EnvoyMonitor, type EnvoyStatus } from "./envoy-monitor.ts";
import { type ReadinessCheck, type ReadinessReport, waterfall } from "./readiness-report.ts";

export interface ReadinessVerdict {
  readonly ready: boolean;
  /** What is pending. Of a ready pod none of them gates. */
  readonly obstacles: readonly Obstacle[];
}

export interface Obstacle {
  readonly name: string;
  /** One line. */
  readonly detail: string;
  readonly sinceMs: number;
  /** Whether it keeps the pod unready. */
  readonly gates: boolean;
  /** Shown with the others, but the pod does not wait for it. */
  readonly isNote: boolean;
}

type Finding = Omit<Obstacle, "sinceMs" | "isNote"> & { readonly sinceMs?: number; readonly isNote?: boolean };

/** A start that takes longer is logged as a warning. */
const startMs = 10_000;

/** Decides whether the pod is ready. */
export class ReadinessJudge {
  readonly #sources: ReadinessSources;
  readonly #mode: ReadinessMode;
  readonly #needsFiles: boolean;
  readonly #clock: Clock;
  readonly #log: Logger;
  #report: Promise<ReadinessReport> | undefined;
  readonly #envoy: EnvoyMonitor | undefined;
  /** When each present obstacle first appeared, by name. */
  readonly #since = new Map<string, number>();
  readonly #subject: string;
  readonly #outage: OutageLog;
  /** Of Envoy's admin interface, while the pod is ready all the same. */
  readonly #silence: OutageLog;
  /** What kept the pod unready at the last verdict; empty when it was ready. */
  #lastReason: string | undefined;
  #wasReady = false;
  readonly #createdAtMs: number;

  constructor(sources: ReadinessSources, mode: ReadinessMode, deps: { readonly clock: Clock; readonly log: Logger }) {
    const { envoy, onEnvoySeen } = sources;
    this.#sources = sources;
    this.#mode = mode;
    this.#needsFiles = (sources.requiredFiles ?? []).length > 0;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#createdAtMs = deps.clock.monotonicMs();
    this.#envoy = envoy === undefined ? undefined : new EnvoyMonitor(envoy, onEnvoySeen, deps.clock);
    this.#subject = envoy === undefined ? "agent" : "Envoy proxy";
    const ready = `${this.#subject} is ready`;
    this.#outage = new OutageLog(deps.log, deps.clock, { first: ready, recovered: ready });
    this.#silence = new OutageLog(deps.log, deps.clock, { recovered: "Envoy's admin interface responds again" });
  }

  /** For the kubelet. Envoy is read only where its state counts. */
  async judge(): Promise<ReadinessVerdict> {
    const withListeners = this.#mode === "strict";
    const envoy = this.#envoyCounts() ? await this.#envoy?.read({ withListeners, purpose: "verdict" }) : undefined;
    return this.#verdict(this.#gatingObstacle(envoy), await this.#missingFile());
  }

  /**
   * Whether the pod is ready because nothing has changed since it was found ready. Reads nothing; false says nothing. Most
   * probes come while this is so.
   */
  isStillReady(): boolean {
    if (!this.lastReady || this.#envoyCounts() || this.#needsFiles) return false;
    if (this.#sources.terminating() !== undefined) return false;
    return this.#sources.holds.pending().every(({ gates, isNote }) => isNote || !gates);
  }

  /** The last verdict, without reading anything. */
  get lastReady(): boolean {
    return this.#lastReason === "";
  }

  /** For a person: every condition as it is now, and the steps of the start. Concurrent callers share one report. */
  report(): Promise<ReadinessReport> {
    this.#report ??= this.#readReport().finally(() => {
      this.#report = undefined;
    });
    return this.#report;
  }

  async #readReport(): Promise<ReadinessReport> {
    const envoy = await this.#envoy?.read({ withListeners: true, purpose: "report" });
    const gating = this.#envoyCounts() ? this.#gatingObstacle(envoy) : undefined;
    if (envoy !== undefined && !this.#envoyCounts()) this.#logSilence(envoy);
    const { ready, obstacles } = this.#verdict(gating, await this.#missingFile());
    const checks = obstacles
      .filter(({ name }) => name !== "envoy")
      .map(({ name, detail, sinceMs, gates }): ReadinessCheck => {
        return { name, ...codeOf(name), state: gates ? "failed" : "not-counted", detail, sinceMs };
      });
    if (envoy !== undefined) checks.unshift(this.#envoyCheck(envoy, gating !== undefined, obstacles));
    return { ready, checks, phases: waterfall(this.#sources.startPhases?.() ?? []) };
  }

  /** In compatible mode an Envoy that was live counts as ready until it fails. */
  #envoyCounts(): boolean {
    return this.#mode === "strict" || this.#envoy?.wasLive !== true;
  }

  /** Lost listeners count in strict mode only: pilot-agent does not check them. */
  #gatingObstacle(envoy: EnvoyStatus | undefined): string | undefined {
    return envoy?.obstacle ?? (this.#mode === "strict" ? envoy?.lost : undefined);
  }

  #envoyCheck(envoy: EnvoyStatus, gates: boolean, obstacles: readonly Obstacle[]): ReadinessCheck {
    const { checks: children, obstacle = envoy.lost } = envoy;
    if (obstacle === undefined) return { name: "envoy", state: "passed", children };
    if (!gates) return { name: "envoy", state: "not-counted", detail: obstacle, children };
    const sinceMs = obstacles.find(({ name }) => name === "envoy")?.sinceMs ?? this.#clock.now();
    return { name: "envoy", state: "failed", detail: obstacle, sinceMs, children };
  }

  /** A ready pod stays ready: nothing else in the log would say it. */
  #logSilence({ checks }: EnvoyStatus): void {
    const silent = checks.find(({ name, state }) => name === "admin interface" && state === "failed");
    if (silent === undefined) this.#silence.works();
    else {
      const fields = { reason: silent.detail ?? "" };
      this.#silence.failed({ level: "warn", message: "Envoy's admin interface does not respond", fields });
    }
  }

  async #missingFile(): Promise<string | undefined> {
    for (const path of this.#sources.requiredFiles ?? []) {
      const exists = await access(path).then(
        () => true,
        () => false,
      );
      if (!exists) return path;
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
    this.#logChange(obstacles.filter(({ gates }) => gates));
    return { ready: obstacles.every(({ gates }) => !gates), obstacles };
  }

  /** Adds the time at which each obstacle appeared; one that disappeared in between gets a new time. */
  #dated(found: readonly Finding[]): readonly Obstacle[] {
    const names = new Set(found.map(({ name }) => name));
    for (const name of this.#since.keys()) if (!names.has(name)) this.#since.delete(name);
    return found.map((finding) => {
      const sinceMs = finding.sinceMs ?? this.#since.get(finding.name) ?? this.#clock.now();
      this.#since.set(finding.name, sinceMs);
      return { isNote: false, ...finding, sinceMs };
    });
  }

  /** Logs changes rather than probes. A pod that has just started is unready for a moment, which is no warning. */
  #logChange(obstacles: readonly Obstacle[]): void {
    const reason = obstacles.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
    const isChanged = reason !== this.#lastReason;
    this.#lastReason = reason;
    if (reason === "") {
      this.#outage.works();
      if (!this.#wasReady) this.#sources.onFirstReady();
      this.#wasReady = true;
      return;
    }
    const message = `${this.#subject} is NOT ready`;
    if (!this.#wasReady && this.#clock.monotonicMs() - this.#createdAtMs < startMs) {
      if (isChanged) this.#log.debug(message, { reason });
      return;
    }
    // the same obstacle may name other durations and counts
    this.#outage.failed({ level: "warn", message, kind: reason.replaceAll(/\d+/g, ""), fields: { reason } });
  }
}

/** The code of a hold that waits for a step of the start under another name. */
function codeOf(name: string): Pick<ReadinessCheck, "code"> {
  return name === "identity" ? { code: "certificate" } : {};
}
