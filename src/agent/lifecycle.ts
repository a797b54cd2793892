// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { untilAborted } from "../lib/async/tasks.ts";
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import type { Logger } from "../lib/log/log.ts";

/** A phase of the start that has ended. */
export interface StartPhase {
  readonly name: string;
  /** From the agent's first instruction to the end of the phase. */
  readonly atMs: number;
}

/** The phases of the start in the order in which they end. Each is logged at debug level. */
export class StartPhases {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #ended: StartPhase[] = [];

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  /** Marks a phase as ended. Only the first call for a phase counts. */
  end(name: string): void {
    if (this.hasEnded(name)) return;
    const atMs = round(this.sinceStartMs());
    const durationMs = round(atMs - (this.#ended.at(-1)?.atMs ?? 0));
    this.#ended.push({ name, atMs });
    this.#log.debug("start phase ended", { phase: name, durationMs, sinceStartMs: atMs });
  }

  hasEnded(name: string): boolean {
    return this.#ended.some((phase) => phase.name === name);
  }

  sinceStartMs(): number {
    return this.#clock.monotonicMs() - this.#startMs;
  }

  get ended(): readonly StartPhase[] {
    return this.#ended;
  }

  /** Logs that the start is complete, with the time at which each phase ended: `sdsServedMs=42`. */
  logReady(fields: Readonly<Record<string, unknown>>): void {
    const readyMs = this.#ended.find(({ name }) => name === "ready")?.atMs ?? this.sinceStartMs();
    const phases: Record<string, number> = {};
    for (const { name, atMs } of this.#ended) if (name !== "ready") phases[phaseField(name)] = Math.round(atMs);
    this.#log.info(`ready in ${(readyMs / 1_000).toFixed(2)} s`, { ...fields, ...phases });
  }
}

/** `certificate in Envoy` becomes `certificateInEnvoyMs`. */
function phaseField(name: string): string {
  const [first = "", ...rest] = name.split(" ");
  const start = first === first.toUpperCase() ? first.toLowerCase() : first.slice(0, 1).toLowerCase() + first.slice(1);
  return `${start}${rest.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join("")}Ms`;
}

/** To tenths. */
function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Why and how the agent shuts down. Signals, control endpoints and failed modules all end up here. */
export class Shutdown implements Disposable {
  readonly #requested = new AbortController();
  readonly #drainEnd = new AbortController();
  #shouldDrain = true;
  #hasQuit = false;
  #failure: Error | undefined;
  /** Aborts when the shutdown begins, with its reason. */
  readonly signal: AbortSignal;

  /** @param stop the process's own request to stop */
  constructor(stop: AbortSignal) {
    this.signal = AbortSignal.any([stop, this.#requested.signal]);
  }

  /** Why the agent shuts down; undefined while it does not. */
  reason(): string | undefined {
    if (!this.signal.aborted) return undefined;
    return this.signal.reason instanceof Error ? this.signal.reason.message : "stop requested";
  }

  /** Shuts down with an error: the server of a module failed. Only the first error is kept. */
  fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error("a module failed", { cause: error });
    this.#requested.abort(this.#failure);
  }

  /** Shuts down without a drain, and ends a drain that is under way. */
  quit(): void {
    this.#shouldDrain = false;
    this.#hasQuit = true;
    const reason = new Error("/quitquitquit called");
    this.#drainEnd.abort(reason);
    this.#requested.abort(reason);
  }

  /** Whether a control endpoint asked for the end: a job's program has ended, whether or not the pod was ready. */
  get hasQuit(): boolean {
    return this.#hasQuit;
  }

  /** Notes that Envoy already drains on request. The shutdown then needs no drain of its own. */
  drainStarted(): void {
    this.#shouldDrain = false;
  }

  /** Aborts when a drain that is under way must end. */
  get drainEnd(): AbortSignal {
    return this.#drainEnd.signal;
  }

  /** Whether the shutdown starts with a drain. */
  get shouldDrain(): boolean {
    return this.#shouldDrain;
  }

  /** The error that the agent exits with; undefined after an orderly shutdown. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Resolves when the shutdown begins: requested, or because Envoy has exited. */
  async untilBegun(envoyExited: Promise<unknown>): Promise<void> {
    await Promise.race([envoyExited, untilAborted(this.signal)]);
  }

  [Symbol.dispose](): void {
    this.#requested.abort(new Error("agent has exited"));
  }
}

/**
 * The pod ended in order, but was never ready. That is no success: with the restart policy OnFailure the sidecar would
 * count as completed and would not be started again.
 */
export class NeverReadyError extends AgentError {
  readonly code = "AGENT_NEVER_READY";
  override readonly exitCode = exitCode.neverReady;
  constructor(cause: string) {
    super(`the pod ended before it was ready: ${cause}`);
  }
}
