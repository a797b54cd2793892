// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import type { Counter, Histogram } from "../lib/metrics.ts";
import type { DnsForwardConfig } from "./dns-config.ts";
import type { ForwardedQuery } from "./exchange.ts";
import { rcode } from "./message.ts";
import { replyCode } from "./response.ts";
import type { ResolverHealth } from "./resolver-health.ts";

export interface ForwarderDeps {
  readonly clock: Clock;
  readonly health: ResolverHealth;
  readonly metrics: ForwarderMetrics;
  /** Asks one resolver once, until the signal aborts. Rejects when it cannot be reached. */
  readonly ask: (host: string, forwarded: ForwardedQuery, signal: AbortSignal) => Promise<Buffer>;
}

export interface ForwarderMetrics {
  readonly upstreamRequests: Counter;
  readonly upstreamFailures: Counter;
  readonly upstreamDurationSeconds: Histogram;
}

/** How often a question is asked in its time: what is lost on the way is asked again. */
const triesPerQuestion = 5;

/** Passes questions on to resolvers, until one has an answer. */
export class Forwarder {
  readonly #config: Pick<DnsForwardConfig, "parallel" | "timeoutMs">;
  readonly #deps: ForwarderDeps;

  constructor(config: Pick<DnsForwardConfig, "parallel" | "timeoutMs">, deps: ForwarderDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  /**
   * @param hosts the resolvers
   * @param share of the time for a question, after which nobody is waited for
   * @returns the first answer; what a resolver says that does not want to answer, where none has one; undefined when
   * nobody says anything in time
   */
  async forward(
    forwarded: ForwardedQuery,
    hosts: readonly string[],
    share: number,
    stop: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { clock, metrics, health } = this.#deps;
    metrics.upstreamRequests.inc();
    const startMs = clock.monotonicMs();
    using limit = deadline(clock, this.#config.timeoutMs * share, stop);
    const round = new Round(forwarded, health.order(hosts), this.#deps, limit.signal);
    try {
      const reply = await this.#ask(round, hosts.length, limit.signal);
      if (reply === undefined && !stop.aborted) metrics.upstreamFailures.inc();
      return reply;
    } finally {
      round.end();
      metrics.upstreamDurationSeconds.observe((clock.monotonicMs() - startMs) / 1_000);
    }
  }

  async #ask(round: Round, hostCount: number, signal: AbortSignal): Promise<Buffer | undefined> {
    const { parallel, timeoutMs } = this.#config;
    while (!signal.aborted && round.askNext(parallel ? hostCount : 1)) {
      await round.untilOver(timeoutMs / triesPerQuestion, signal);
      if (round.answer !== undefined) return round.answer;
      if (round.unwilling !== undefined && round.allAsked) break;
    }
    return round.unwilling;
  }
}

/** One question on its way to all who may know. */
class Round {
  /** The first reply of somebody who wants to answer. */
  answer: Buffer | undefined;
  /** The first reply of somebody who does not. */
  unwilling: Buffer | undefined;
  readonly #forwarded: ForwardedQuery;
  readonly #deps: ForwarderDeps;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  /** Those who may still answer, the next to be asked first. */
  #hosts: readonly string[];
  readonly #asked = new Set<string>();
  /** Those who have been asked and have not said anything. */
  readonly #silent = new Set<string>();
  #openTries = 0;
  #wake = Promise.withResolvers<undefined>();

  constructor(forwarded: ForwardedQuery, hosts: readonly string[], deps: ForwarderDeps, signal: AbortSignal) {
    this.#forwarded = forwarded;
    this.#hosts = hosts;
    this.#deps = deps;
    this.#signal = AbortSignal.any([signal, this.#over.signal]);
  }

  get allAsked(): boolean {
    return this.#hosts.every((host) => this.#asked.has(host));
  }

  /** @returns false when nobody is left to be asked */
  askNext(count: number): boolean {
    this.#wake = Promise.withResolvers();
    const next = this.#hosts.slice(0, count);
    this.#hosts = [...this.#hosts.slice(count), ...next];
    for (const host of next) void this.#try(host);
    return next.length > 0;
  }

  /** Until there is an answer, the next can be asked because all before have failed, or the time for one try is over. */
  async untilOver(ms: number, signal: AbortSignal): Promise<void> {
    const step = new AbortController();
    const time = this.#deps.clock.delay(ms, AbortSignal.any([signal, step.signal])).then(
      () => {
        for (const host of this.#silent) this.#deps.health.failed(host);
      },
      () => undefined,
    );
    await Promise.race([this.#wake.promise, time]);
    step.abort();
  }

  end(): void {
    this.#over.abort();
  }

  async #try(host: string): Promise<void> {
    this.#asked.add(host);
    this.#silent.add(host);
    this.#openTries++;
    try {
      this.#take(host, await this.#deps.ask(host, this.#forwarded, this.#signal));
    } catch {
      if (this.#signal.aborted) return;
      this.#deps.health.failed(host);
    }
    this.#silent.delete(host);
    this.#openTries--;
    const isOver = this.#openTries === 0 && (!this.allAsked || this.#hosts.length === 0);
    if (this.answer !== undefined || isOver) this.#wake.resolve(undefined);
  }

  #take(host: string, reply: Buffer): void {
    this.#deps.health.answered(host);
    const code = replyCode(reply);
    if (code !== rcode.servFail && code !== rcode.refused && code !== rcode.notImp) this.answer ??= reply;
    else {
      this.unwilling ??= reply;
      this.#hosts = this.#hosts.filter((other) => other !== host);
    }
  }
}
