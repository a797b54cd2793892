// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import type { Counter } from "../lib/metrics.ts";
import type { ObservableValue } from "../lib/async/observable-value.ts";
import type { ForwardedQuery, OwnQuestions, Transport } from "./exchange.ts";
import type { Forwarder } from "./forwarder.ts";
import { answerFromTable, asksForAddresses, hostFromTable } from "./local-response.ts";
import type { LookupTable } from "./lookup-table.ts";
import { rcode } from "./message.ts";
import { longestReplyBytes, parseQuery, type Query } from "./query.ts";
import { fitReply, renderAnswer, renderFailure, renderHost, renderRefusal, replyCode } from "./response.ts";
import type { ResolvConf } from "./resolv-conf.ts";
import type { StaleReplies } from "./stale-responses.ts";

/** The reply to the bytes that came; undefined to say nothing. Never rejects. */
export type Answerer = (message: Buffer, from: Client) => Promise<Buffer | undefined>;

/** Who asks, and how. */
export interface Client {
  readonly transport: Transport;
  readonly port: number;
}

export interface DnsAnswersDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly lookup: ObservableValue<LookupTable>;
  readonly beforeTable: "wait" | "forward";
  readonly resolvers: () => ResolvConf;
  readonly forwarder: Pick<Forwarder, "forward">;
  readonly stale: Pick<StaleReplies, "keep" | "find">;
  readonly own: OwnQuestions;
  readonly requests: Counter;
}

/** How long a question waits for the first table: less than clients wait. */
const tableWaitMs = 2_000;

/** Questions that wait for a table or a resolver, all clients together. */
const mostWaiting = 1_000;

/** Of the time for a question: when a reply of before is known, clients get it before they give up. */
const staleAfterShare = 0.4;

const repeatWarningMs = 60_000;

/** What becomes of each message: an answer from the table, one from a resolver, a failure, or nothing. */
export class DnsAnswers {
  readonly #deps: DnsAnswersDeps;
  readonly #stop: AbortSignal;
  readonly #toldAtMs = new Map<string, number>();
  #waiting = 0;

  /** @param stop ends all waits */
  constructor(deps: DnsAnswersDeps, stop: AbortSignal) {
    this.#deps = deps;
    this.#stop = stop;
  }

  async answer(message: Buffer, { transport, port }: Client): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (query.kind === "silence") return undefined;
    if (this.#deps.own.has(port, query.id)) {
      this.#warn("the DNS proxy was asked by itself: its own questions must not be captured, nor be sent to its port");
      return renderRefusal({ kind: "refusal", id: query.id, flags: message.readUInt16BE(2), rcode: rcode.servFail });
    }
    this.#deps.requests.inc();
    if (query.kind === "refusal") return renderRefusal(query);
    if (query.edns !== undefined && query.edns.version > 0) return renderFailure(query, rcode.badVersion);
    const known = this.#fromTable(query, transport);
    if (known !== undefined) return known;
    if (this.#waiting >= mostWaiting) {
      this.#warn("too many questions wait for an answer; more are refused", { mostWaiting });
      return renderFailure(query, rcode.servFail);
    }
    this.#waiting++;
    try {
      return await this.#answerLater({ query, message, transport });
    } finally {
      this.#waiting--;
    }
  }

  #fromTable(query: Query, transport: Transport): Buffer | undefined {
    const { lookup, resolvers, random } = this.#deps;
    if (lookup.current === undefined || !asksForAddresses(query)) return undefined;
    const answer = answerFromTable(query, lookup.current, resolvers().searchDomain, random);
    return answer === undefined ? undefined : renderAnswer(query, answer, longestReplyBytes(query, transport));
  }

  async #answerLater(forwarded: ForwardedQuery): Promise<Buffer | undefined> {
    const { query, transport } = forwarded;
    if (!this.#hasTable() && this.#deps.beforeTable === "wait" && asksForAddresses(query)) {
      await this.#untilTable();
      if (this.#stop.aborted) return undefined;
      const known = this.#fromTable(query, transport);
      if (known !== undefined) return known;
      if (!this.#hasTable()) return renderFailure(query, rcode.servFail);
    }
    const reply = await this.#forward(forwarded);
    if (this.#stop.aborted) return undefined;
    const host = reply === undefined || replyCode(reply) !== rcode.noError ? this.#hostFromTable(query) : undefined;
    if (host !== undefined) return host;
    return reply === undefined
      ? renderFailure(query, rcode.servFail)
      : fitReply(reply, query, longestReplyBytes(query, transport));
  }

  /** For addresses that only the mesh knows; the cluster's own resolver knows the others better. */
  #hostFromTable(query: Query): Buffer | undefined {
    const { current } = this.#deps.lookup;
    const answer = current === undefined ? undefined : hostFromTable(query, current);
    return answer === undefined ? undefined : renderHost(query, answer);
  }

  /** A resolver's reply, or what one has said before when none has an answer now. */
  async #forward(forwarded: ForwardedQuery): Promise<Buffer | undefined> {
    const { query, transport } = forwarded;
    const { resolvers, forwarder, stale, log } = this.#deps;
    const { servers } = resolvers();
    const before = stale.find(query);
    const reply = await forwarder.forward(forwarded, servers, before === undefined ? 1 : staleAfterShare, this.#stop);
    if (reply !== undefined && replyCode(reply) !== rcode.servFail) {
      stale.keep(query, reply);
      return reply;
    }
    if (this.#stop.aborted) return undefined;
    if (reply === undefined) this.#warn("no resolver answers", { servers });
    const outcome = before === undefined ? "failure" : "reply of before";
    log.debug("no resolver has an answer", { name: query.name, type: query.type, transport, outcome });
    return before ?? reply;
  }

  #hasTable(): boolean {
    return this.#deps.lookup.current !== undefined;
  }

  async #untilTable(): Promise<void> {
    using limit = deadline(this.#deps.clock, tableWaitMs, this.#stop);
    for await (const _table of this.#deps.lookup.watch(limit.signal)) return;
  }

  /** At most once a minute for each message. */
  #warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs - (this.#toldAtMs.get(message) ?? Number.NEGATIVE_INFINITY) < repeatWarningMs) return;
    this.#toldAtMs.set(message, nowMs);
    this.#deps.log.warn(message, fields);
  }
}
