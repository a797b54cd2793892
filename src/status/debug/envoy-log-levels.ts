// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { SerialQueue } from "../../lib/async/serial-queue.ts";
import type { Budget } from "../../lib/budget.ts";
import type { EnvoyLogControl } from "../inspection.ts";

/** A changed level, and what is needed to undo it. */
interface Override {
  /** Before the first change. */
  readonly original: string;
  readonly level: string;
  /** Wall clock; undefined: until Envoy is restarted. */
  readonly resetAtMs: number | undefined;
  /** Aborts when the change is no longer to be undone. */
  readonly change: AbortController;
}

/** One of Envoy's loggers as it is now. */
export interface EnvoyLogger {
  readonly name: string;
  readonly level: string;
  /** Set while the level is changed. */
  readonly override: Pick<Override, "original" | "resetAtMs"> | undefined;
}

export interface EnvoyLogChange {
  /** Undefined: every logger. */
  readonly logger: string | undefined;
  /** Undefined: the level from before the changes. */
  readonly level: string | undefined;
}

/** The outcome of a change; `problem` says why there was none, or not all of it. */
export type EnvoyLogResult =
  | { readonly kind: "done" }
  | { readonly kind: "unknown-logger"; readonly logger: string; readonly known: readonly string[] }
  | { readonly kind: "too-many"; readonly problem: string };

const withinMs = 2_000;
/** Between two attempts to undo a change, when Envoy does not respond. */
const retryMs = 5_000;

/**
 * Changes the levels of Envoy's loggers for a limited time. Then each gets the level that it had before. An Envoy that was
 * restarted meanwhile has the levels of its start, and there is nothing to undo.
 */
export class EnvoyLogLevels implements Disposable {
  readonly #control: EnvoyLogControl;
  readonly #budget: Budget;
  readonly #clock: Clock;
  readonly #overrides = new Map<string, Override>();
  readonly #queue = new SerialQueue();
  readonly #ended = new AbortController();
  #process: number;

  /** @param budget for the changed loggers */
  constructor(control: EnvoyLogControl, budget: Budget, clock: Clock) {
    this.#control = control;
    this.#budget = budget;
    this.#clock = clock;
    this.#process = control.process();
  }

  /** @throws when Envoy does not respond */
  async list(): Promise<readonly EnvoyLogger[]> {
    this.#forgetRestarted();
    using limit = this.#limit();
    const levels = await this.#control.read(limit.signal);
    return [...levels].map(([name, level]) => ({ name, level, override: this.#overrides.get(name) }));
  }

  /** The loggers whose levels are changed, without asking Envoy. */
  changed(): ReadonlyMap<string, string> {
    this.#forgetRestarted();
    return new Map([...this.#overrides].map(([name, { level }]) => [name, level]));
  }

  /**
   * @param durationMs undefined: until Envoy is restarted
   * @throws when Envoy does not respond; what it has changed by then is undone in time
   */
  change(changes: readonly EnvoyLogChange[], durationMs: number | undefined): Promise<EnvoyLogResult> {
    return this.#queue.run(() => this.#change(changes, durationMs));
  }

  async #change(changes: readonly EnvoyLogChange[], durationMs: number | undefined): Promise<EnvoyLogResult> {
    this.#forgetRestarted();
    using limit = this.#limit();
    const current = await this.#control.read(limit.signal);
    const wanted = new Map<string, string | undefined>();
    for (const { logger, level } of changes) {
      if (logger !== undefined && !current.has(logger)) {
        return { kind: "unknown-logger", logger, known: [...current.keys()] };
      }
      for (const name of logger === undefined ? current.keys() : [logger]) wanted.set(name, level);
    }
    const added = [...wanted].filter(([name, level]) => level !== undefined && !this.#overrides.has(name));
    if (!this.#budget.tryTake(added.length)) return { kind: "too-many", problem: this.#budget.text };
    this.#record(wanted, current, durationMs);
    const levels = [...wanted].flatMap(([name, level]) => pairOf(name, level ?? this.#overrides.get(name)?.original));
    try {
      await this.#control.set(new Map(levels), limit.signal);
    } finally {
      // an Envoy that was started meanwhile may have the changes too
      this.#process = this.#control.process();
    }
    for (const [name, level] of wanted) if (level === undefined) this.#drop(name);
    return { kind: "done" };
  }

  /** Remembers what to undo, before anything is changed. */
  #record(
    wanted: ReadonlyMap<string, string | undefined>,
    current: ReadonlyMap<string, string>,
    durationMs: number | undefined,
  ): void {
    const change = new AbortController();
    const resetAtMs = durationMs === undefined ? undefined : this.#clock.now() + durationMs;
    for (const [name, level] of wanted) {
      if (level === undefined) continue;
      const before = this.#overrides.get(name);
      const original = before?.original ?? current.get(name) ?? level;
      this.#overrides.set(name, { original, level, resetAtMs, change });
      if (before !== undefined) this.#endUnused(before.change);
    }
    if (durationMs !== undefined && this.#isUsed(change)) void this.#resetAfter(durationMs, change);
  }

  /** The logger has its own level again. */
  #drop(name: string): void {
    const override = this.#overrides.get(name);
    if (override === undefined) return;
    this.#overrides.delete(name);
    this.#budget.release();
    this.#endUnused(override.change);
  }

  async #resetAfter(durationMs: number, change: AbortController): Promise<void> {
    const signal = AbortSignal.any([change.signal, this.#ended.signal]);
    try {
      await this.#clock.delay(durationMs, signal);
      while (!(await this.#queue.run(() => this.#reset(change)))) await this.#clock.delay(retryMs, signal);
    } catch {
      // replaced by a later change, or the agent shuts down
    }
  }

  /** @returns false when Envoy does not respond */
  async #reset(change: AbortController): Promise<boolean> {
    this.#forgetRestarted();
    const due = [...this.#overrides].filter(([, override]) => override.change === change);
    if (due.length === 0) return true;
    using limit = this.#limit();
    try {
      await this.#control.set(new Map(due.map(([name, { original }]) => [name, original])), limit.signal);
    } catch {
      return false;
    }
    for (const [name] of due) this.#drop(name);
    return true;
  }

  /** Another Envoy does not have the changes. */
  #forgetRestarted(): void {
    const process = this.#control.process();
    if (process === this.#process) return;
    this.#process = process;
    for (const { change } of this.#overrides.values()) change.abort();
    this.#budget.release(this.#overrides.size);
    this.#overrides.clear();
  }

  #endUnused(change: AbortController): void {
    if (!this.#isUsed(change)) change.abort();
  }

  #isUsed(change: AbortController): boolean {
    return [...this.#overrides.values()].some((override) => override.change === change);
  }

  #limit(): { readonly signal: AbortSignal } & Disposable {
    return deadline(this.#clock, withinMs, this.#ended.signal);
  }

  [Symbol.dispose](): void {
    this.#ended.abort(new Error("the agent shuts down"));
  }
}

function pairOf(name: string, level: string | undefined): readonly (readonly [string, string])[] {
  return level === undefined ? [] : [[name, level]];
}
