// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ObservableValue } from "../lib/async/observable-value.ts";
import type { Budget } from "../lib/budget.ts";
import type { Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { MemoryGuard } from "../lib/memory-guard.ts";
import { RepeatedWarnings } from "../lib/log/repeated-warnings.ts";
import type { Counter } from "../lib/metrics.ts";
import type { ForwardedQuery, OpenQueries, Transport } from "./exchange.ts";
import type { Forwarder } from "./forwarder.ts";
import { findAddresses, findHost, isAddressQuery, renderKnownName } from "./local-response.ts";
import type { LookupTable } from "./lookup-table.ts";
import { rcode } from "./message.ts";
import { maxResponseBytes, parseQuery, type Query } from "./query.ts";
import type { ResolvConf } from "./resolvers.ts";
import {
  fitResponse,
  hasRecords,
  renderAddresses,
  renderError,
  renderHost,
  renderInvalid,
  responseCode,
} from "./response.ts";
import type { CachedResponse, ResponseCache } from "./response-cache.ts";

/** The response to a message; undefined for none. Never rejects. */
export type HandleQuery = (message: Buffer, client: Client) => Promise<Buffer | undefined>;

export interface Client {
  readonly transport: Transport;
  readonly port: number;
  /** Others get what is in the table and no more while memory is short. */
  readonly isLoopback: boolean;
}

export interface QueryHandlerDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly lookup: ObservableValue<LookupTable>;
  readonly beforeTable: "wait" | "forward";
  readonly resolvers: () => ResolvConf;
  readonly forwarder: Pick<Forwarder, "forward">;
  readonly cache: Pick<ResponseCache, "keep" | "find">;
  readonly openQueries: OpenQueries;
  readonly requests: Counter;
  /** Queries that wait for a table or a resolver, of all clients together. */
  readonly waiting: Budget;
  readonly memory: MemoryGuard;
}

/** So long after the start, the addresses that a resolver has wait for the first table, which may have others. */
const foundWaitMs = 1_000;

/** So long after the start, a name that no resolver has waits for the first table, which may have it... */
const notFoundWaitMs = 5_000;
/** ... and each query for so long: less than clients wait. */
const queryWaitMs = 2_000;

/** Share of the time for a query after which a stale response is sent, before the client gives up. */
const staleAfterShare = 0.4;

/** Handles each message: a response from the name table, one from a resolver, an error, or none. */
export class QueryHandler {
  readonly #deps: QueryHandlerDeps;
  readonly #stop: AbortSignal;
  readonly #warnings: RepeatedWarnings;
  readonly #outage: OutageLog;
  readonly #startedMs: number;

  /** @param stop ends all waits */
  constructor(deps: QueryHandlerDeps, stop: AbortSignal) {
    this.#deps = deps;
    this.#stop = stop;
    this.#warnings = new RepeatedWarnings(deps.log, deps.clock);
    this.#outage = new OutageLog(deps.log, deps.clock, { recovered: "a DNS resolver responds again" });
    this.#startedMs = deps.clock.monotonicMs();
  }

  async handle(message: Buffer, { transport, port, isLoopback }: Client): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (query.kind === "ignored") return undefined;
    if (this.#deps.openQueries.has(port, query.id)) {
      this.#warnings.warn(
        "DNS query loop: a query of the DNS proxy came back to it; exclude its traffic from capture, and do not name it in resolv.conf",
      );
      return renderInvalid({ kind: "invalid", id: query.id, flags: message.readUInt16BE(2), rcode: rcode.servFail });
    }
    this.#deps.requests.inc();
    if (query.kind === "invalid") return renderInvalid(query);
    if (query.edns !== undefined && query.edns.version > 0) return renderError(query, rcode.badVersion);
    const local = this.#addressesFromTable(query, transport) ?? this.#fromCache(query, transport);
    if (local !== undefined) return local;
    if (!isLoopback && this.#deps.memory.isShort()) return renderError(query, rcode.servFail);
    if (!this.#deps.waiting.tryTake()) return renderError(query, rcode.servFail);
    try {
      return await this.#handleLater({ query, message, transport });
    } finally {
      this.#deps.waiting.release();
    }
  }

  #addressesFromTable(query: Query, transport: Transport): Buffer | undefined {
    const { lookup, resolvers, random } = this.#deps;
    if (lookup.current === undefined || !isAddressQuery(query)) return undefined;
    const found = findAddresses(query, lookup.current, resolvers().searchDomain, random);
    return found === undefined ? undefined : renderAddresses(query, found, maxResponseBytes(query, transport));
  }

  /** What a resolver said and is still valid. */
  #fromCache(query: Query, transport: Transport): Buffer | undefined {
    if (this.#awaitsTable(query)) return undefined;
    const cached = this.#findCached(query);
    // a client over UDP without EDNS gets as much of a long response as the resolver sends it
    if (cached?.isFresh !== true || cached.response.length > maxResponseBytes(query, transport)) return undefined;
    return this.#completed(query, transport, cached.response);
  }

  #findCached(query: Query): CachedResponse | undefined {
    return this.#deps.cache.find(query, this.#deps.resolvers());
  }

  async #handleLater(forwarded: ForwardedQuery): Promise<Buffer | undefined> {
    const { query, transport } = forwarded;
    const response = this.#awaitsTable(query)
      ? await this.#forwardUntilTable(forwarded)
      : await this.#forward(forwarded);
    if (this.#stop.aborted) return undefined;
    const local = this.#addressesFromTable(query, transport);
    if (local !== undefined) return local;
    if (this.#awaitsTable(query) && response !== undefined && !hasRecords(response)) {
      // the table may have the name: nothing may remember that there is none
      return renderError(query, responseCode(response));
    }
    return this.#completed(query, transport, response);
  }

  /** A resolver's response, with what only the table knows. */
  #completed(query: Query, transport: Transport, response: Buffer | undefined): Buffer {
    const code = response === undefined ? rcode.servFail : responseCode(response);
    const host = code === rcode.noError ? undefined : this.#hostFromTable(query);
    if (host !== undefined) return host;
    const known = code === rcode.nxDomain ? this.#knownName(query) : undefined;
    if (known !== undefined) return known;
    return response === undefined
      ? renderError(query, rcode.servFail)
      : fitResponse(response, query, maxResponseBytes(query, transport));
  }

  /** For other queries about a name of the table: it exists. */
  #knownName(query: Query): Buffer | undefined {
    const { lookup, resolvers } = this.#deps;
    return lookup.current === undefined ? undefined : renderKnownName(query, lookup.current, resolvers());
  }

  /** For PTR queries that the resolvers cannot answer: the address is one that only the mesh knows. */
  #hostFromTable(query: Query): Buffer | undefined {
    const { current } = this.#deps.lookup;
    const found = current === undefined ? undefined : findHost(query, current);
    return found === undefined ? undefined : renderHost(query, found);
  }

  #awaitsTable(query: Query): boolean {
    const { lookup, beforeTable } = this.#deps;
    return lookup.current === undefined && beforeTable === "wait" && isAddressQuery(query);
  }

  /**
   * Queries the resolvers at once, so that a missing control plane delays nothing, and waits a while for the first table.
   * @returns what the resolvers say; undefined also when the table has the name
   */
  async #forwardUntilTable(forwarded: ForwardedQuery): Promise<Buffer | undefined> {
    const { clock, lookup } = this.#deps;
    const startMs = clock.monotonicMs();
    const over = new AbortController();
    const signal = AbortSignal.any([this.#stop, over.signal]);
    const table = firstValue(lookup, signal);
    const forwarding = this.#forward(forwarded, signal);
    try {
      const hasTable = (): boolean => lookup.current !== undefined;
      await Promise.race([table, forwarding]);
      if (hasTable()) {
        const { query, transport } = forwarded;
        return this.#addressesFromTable(query, transport) === undefined ? await forwarding : undefined;
      }
      const response = await forwarding;
      const untilMs =
        response !== undefined && hasRecords(response)
          ? this.#startedMs + foundWaitMs
          : Math.min(this.#startedMs + notFoundWaitMs, startMs + queryWaitMs);
      const waitMs = untilMs - clock.monotonicMs();
      if (waitMs > 0 && !signal.aborted) {
        await Promise.race([table, clock.delay(waitMs, signal).catch(() => undefined)]);
      }
      return response;
    } finally {
      over.abort();
    }
  }

  /** A resolver's response; when there is none or SERVFAIL, a stale one if there is one. */
  async #forward(forwarded: ForwardedQuery, stop = this.#stop): Promise<Buffer | undefined> {
    const { query, transport } = forwarded;
    const { resolvers, forwarder, cache, log } = this.#deps;
    const current = resolvers();
    const previous = this.#findCached(query);
    if (previous?.isFresh === true && previous.response.length <= maxResponseBytes(query, transport)) {
      return previous.response;
    }
    const { servers } = current;
    const share = previous === undefined ? 1 : staleAfterShare;
    const response = await forwarder.forward(forwarded, servers, share, stop);
    if (response !== undefined) this.#outage.works({ servers });
    if (response !== undefined && responseCode(response) !== rcode.servFail) {
      cache.keep(query, response, current);
      return response;
    }
    if (stop.aborted) return undefined;
    if (response === undefined) {
      this.#outage.failed({ level: "warn", message: "no DNS resolver responds", fields: { servers } });
    }
    const outcome = previous === undefined ? "failure" : "stale response";
    log.debug("DNS query failed", { name: query.name, type: query.type, transport, outcome });
    return previous?.response ?? response;
  }
}

/** Resolves when the value is set, or the signal aborts. */
async function firstValue<T>(value: ObservableValue<T>, signal: AbortSignal): Promise<void> {
  for await (const _value of value.watch(signal)) return;
}
