// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { askReadiness, type MissingStep, type ReadinessAnswer } from "./readiness-question.ts";

export interface AskPolicy {
  /** Between two tries of who tells nothing of waiting. */
  readonly periodMs: number;
  /** For one try, the agent's wait aside. */
  readonly timeoutMs: number;
}

/** For so long the agent may hold its answer back; less than what Envoy gives a request that passes through it. */
const waitSeconds = 10;
const leastPauseMs = 10;

/** An address that is asked again and again until it answers that the proxy is ready. */
export class AskedAddress {
  readonly #url: URL;
  readonly #policy: AskPolicy;
  readonly #clock: Clock;
  readonly #startMs: number;
  /** What the agent said was missing; undefined while the answers are nobody's or another program's. */
  missing: readonly MissingStep[] | undefined;
  lastProblem = "no try was made";

  constructor(url: URL, policy: AskPolicy, clock: Clock) {
    this.#url = url;
    this.#policy = policy;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  /**
   * @param soon while it is not aborted tries are a period apart; then they follow each other closely at first
   * @throws the signal's reason
   */
  async untilReady(signal: AbortSignal, soon?: AbortSignal): Promise<void> {
    let soonMs: number | undefined;
    for (let wait = 0; ; ) {
      const startMs = this.#clock.monotonicMs();
      const answer = await this.ask(signal, wait);
      if (answer.problem === undefined) return;
      signal.throwIfAborted();
      const tookMs = this.#clock.monotonicMs() - startMs;
      const isAgent = answer.missing !== undefined;
      const goesOn = isAgent && (wait === 0 || tookMs > wait * 900);
      wait = isAgent ? waitSeconds : 0;
      if (soon?.aborted === true) {
        soonMs ??= this.#clock.monotonicMs();
        await this.#clock.delay(this.#growingPauseMs(soonMs), signal);
      } else await this.#pause(goesOn ? 0 : this.#pauseMs(answer), signal, soon);
    }
  }

  /** Asks once. @param wait seconds for which the agent may hold its answer back */
  async ask(signal: AbortSignal, wait = 0): Promise<ReadinessAnswer> {
    const question = { url: this.#url, waitSeconds: wait, timeoutMs: this.#policy.timeoutMs };
    const answer = await askReadiness(question, this.#clock, signal);
    if (!signal.aborted) {
      this.missing = answer.missing ?? this.missing;
      this.lastProblem = answer.problem ?? this.lastProblem;
    }
    return answer;
  }

  /** A process that does not listen yet is tried soon again. */
  #pauseMs({ refused }: ReadinessAnswer): number {
    return refused ? this.#growingPauseMs(this.#startMs) : this.#policy.periodMs;
  }

  /** Ever longer as time goes by, up to a period. */
  #growingPauseMs(sinceMs: number): number {
    return Math.min(this.#policy.periodMs, leastPauseMs + (this.#clock.monotonicMs() - sinceMs) / 50);
  }

  async #pause(ms: number, signal: AbortSignal, soon: AbortSignal | undefined): Promise<void> {
    const ends = soon === undefined ? signal : AbortSignal.any([signal, soon]);
    await this.#clock.delay(ms, ends).catch(() => {
      signal.throwIfAborted();
    });
  }
}
