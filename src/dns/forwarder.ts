// SPDX-License-Identifier: Apache-2.0
import { BudgetSpentError } from "../lib/budget.ts";
import { type Clock, deadline } from "../lib/async/clock.ts";
import type { Counter, Histogram } from "../lib/metrics.ts";
import type { DnsForwardConfig } from "./dns-config.ts";
import type { ForwardedQuery } from "./exchange.ts";
import { shuffled } from "./local-response.ts";
import { rcode } from "./message.ts";
import { responseCode } from "./response.ts";

export interface ForwarderDeps {
  readonly clock: Clock;
  readonly health: ResolverHealth;
  readonly metrics: ForwarderMetrics;
  /** Sends the query to one resolver once. Rejects when the resolver is unreachable, or the signal aborts. */
  readonly queryResolver: (host: string, forwarded: ForwardedQuery, signal: AbortSignal) => Promise<Buffer>;
}

export interface ForwarderMetrics {
  readonly upstreamRequests: Counter;
  readonly upstreamFailures: Counter;
  readonly upstreamDurationSeconds: Histogram;
}

/** Attempts within the time for a query, in case packets are lost. */
const attemptsPerQuery = 5;

/** Forwards queries to the resolvers until one responds. */
export class Forwarder {
  readonly #config: Pick<DnsForwardConfig, "parallel" | "timeoutMs">;
  readonly #deps: ForwarderDeps;

  constructor(config: Pick<DnsForwardConfig, "parallel" | "timeoutMs">, deps: ForwarderDeps) {
    this.#config = config;
    this.#deps = deps;
  }

  /**
   * @param hosts the resolvers
   * @param share of the time for a query after which no response is waited for
   * @returns the first response that is not a failure (SERVFAIL, REFUSED, NOTIMP); else the first failure; undefined
   * when no resolver responds in time
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
    const round = new ForwardingRound(forwarded, health.order(hosts), this.#deps, limit.signal);
    try {
      const response = await this.#forward(round, hosts.length, limit.signal);
      if (response === undefined && !stop.aborted) metrics.upstreamFailures.inc();
      return response;
    } finally {
      round.end();
      metrics.upstreamDurationSeconds.observe((clock.monotonicMs() - startMs) / 1_000);
    }
  }

  async #forward(round: ForwardingRound, hostCount: number, signal: AbortSignal): Promise<Buffer | undefined> {
    const { parallel, timeoutMs } = this.#config;
    while (!signal.aborted && round.queryNext(parallel ? hostCount : 1)) {
      await round.untilNext(timeoutMs / attemptsPerQuery, signal);
      if (round.response !== undefined) return round.response;
      if ((round.failure !== undefined && round.allQueried) || round.isRefused) break;
    }
    return round.failure;
  }
}

/** A resolver that restarts can be reached again soon: it is tried over two fifths of the timeout. */
const refusalsUntilFailure = 3;

/** One query at all its resolvers. */
class ForwardingRound {
  /** The first response that is not a failure. */
  response: Buffer | undefined;
  /** The first response that is a failure. */
  failure: Buffer | undefined;
  readonly #forwarded: ForwardedQuery;
  readonly #deps: ForwarderDeps;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  /** Resolvers that have not failed the query, the next one first. */
  #hosts: readonly string[];
  readonly #queried = new Set<string>();
  /** How often each resolver could not be reached at all, such as one whose port is closed. */
  readonly #unreachable = new Map<string, number>();
  /** Resolvers that were queried and have not responded. */
  readonly #silent = new Set<string>();
  #openAttempts = 0;
  #wake = Promise.withResolvers<undefined>();

  constructor(forwarded: ForwardedQuery, hosts: readonly string[], deps: ForwarderDeps, signal: AbortSignal) {
    this.#forwarded = forwarded;
    this.#hosts = hosts;
    this.#deps = deps;
    this.#signal = AbortSignal.any([signal, this.#over.signal]);
  }

  get allQueried(): boolean {
    return this.#hosts.every((host) => this.#queried.has(host));
  }

  /** Whether no resolver can be reached, also a moment later: a client that asks again loses nothing. */
  get isRefused(): boolean {
    return this.#hosts.every((host) => (this.#unreachable.get(host) ?? 0) >= refusalsUntilFailure);
  }

  /** @returns false when no resolver is left */
  queryNext(count: number): boolean {
    this.#wake = Promise.withResolvers();
    const next = this.#hosts.slice(0, count);
    this.#hosts = [...this.#hosts.slice(count), ...next];
    for (const host of next) void this.#query(host);
    return next.length > 0;
  }

  /** Until there is a response, all queried resolvers have failed, or the time for one attempt is over. */
  async untilNext(ms: number, signal: AbortSignal): Promise<void> {
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

  async #query(host: string): Promise<void> {
    this.#queried.add(host);
    this.#silent.add(host);
    this.#openAttempts++;
    try {
      this.#onResponse(host, await this.#deps.queryResolver(host, this.#forwarded, this.#signal));
    } catch (error) {
      if (this.#signal.aborted) return;
      // without a socket the resolver was not queried
      if (!(error instanceof BudgetSpentError)) {
        this.#deps.health.failed(host);
        this.#unreachable.set(host, (this.#unreachable.get(host) ?? 0) + 1);
      }
    }
    this.#silent.delete(host);
    this.#openAttempts--;
    const isOver = this.#openAttempts === 0 && (!this.allQueried || this.isRefused);
    if (this.response !== undefined || isOver) this.#wake.resolve(undefined);
  }

  #onResponse(host: string, response: Buffer): void {
    this.#deps.health.responded(host);
    const code = responseCode(response);
    if (code !== rcode.servFail && code !== rcode.refused && code !== rcode.notImp) this.response ??= response;
    else {
      this.failure ??= response;
      this.#hosts = this.#hosts.filter((other) => other !== host);
    }
  }
}

/** How long a resolver that failed is queried after the others. */
const failureMemoryMs = 30_000;

/** Remembers which resolvers failed lately, so that not every query waits for them. */
export class ResolverHealth {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #random: () => number;
  readonly #failedAtMs = new Map<string, number>();

  constructor(deps: { readonly clock: Pick<Clock, "monotonicMs">; readonly random: () => number }) {
    this.#clock = deps.clock;
    this.#random = deps.random;
  }

  failed(host: string): void {
    this.#failedAtMs.set(host, this.#clock.monotonicMs());
  }

  responded(host: string): void {
    this.#failedAtMs.delete(host);
  }

  /** In random order; resolvers that failed lately come last. */
  order(hosts: readonly string[]): readonly string[] {
    const nowMs = this.#clock.monotonicMs();
    for (const [host, atMs] of this.#failedAtMs) if (nowMs - atMs >= failureMemoryMs) this.#failedAtMs.delete(host);
    const mixed = shuffled(hosts, this.#random);
    return [
      ...mixed.filter((host) => !this.#failedAtMs.has(host)),
      ...mixed.filter((host) => this.#failedAtMs.has(host)),
    ];
  }
}
