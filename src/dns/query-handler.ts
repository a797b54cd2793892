// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import type { ObservableValue } from "../lib/async/observable-value.ts";
import type { Budget } from "../lib/budget.ts";
import type { Logger } from "../lib/log/log.ts";
import type { Counter } from "../lib/metrics.ts";
import type { ForwardedQuery, OpenQueries, Transport } from "./exchange.ts";
import type { Forwarder } from "./forwarder.ts";
import { findAddresses, findHost, isAddressQuery } from "./local-response.ts";
import type { LookupTable } from "./lookup-table.ts";
import { rcode } from "./message.ts";
import { maxResponseBytes, parseQuery, type Query } from "./query.ts";
import type { ResolvConf } from "./resolvers.ts";
import { fitResponse, renderAddresses, renderError, renderHost, renderInvalid, responseCode } from "./response.ts";
import type { StaleResponses } from "./stale-responses.ts";

/** The response to a message; undefined for none. Never rejects. */
export type HandleQuery = (message: Buffer, client: Client) => Promise<Buffer | undefined>;

export interface Client {
  readonly transport: Transport;
  readonly port: number;
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
  readonly stale: Pick<StaleResponses, "keep" | "find">;
  readonly openQueries: OpenQueries;
  readonly requests: Counter;
  /** Queries that wait for a table or a resolver, of all clients together. */
  readonly waiting: Budget;
}

/** How long a query waits for the first table: less than clients wait. */
const tableWaitMs = 2_000;

/** Share of the time for a query after which a stale response is sent, before the client gives up. */
const staleAfterShare = 0.4;

const warningIntervalMs = 60_000;

/** Handles each message: a response from the name table, one from a resolver, an error, or none. */
export class QueryHandler {
  readonly #deps: QueryHandlerDeps;
  readonly #stop: AbortSignal;
  readonly #warnedAtMs = new Map<string, number>();

  /** @param stop ends all waits */
  constructor(deps: QueryHandlerDeps, stop: AbortSignal) {
    this.#deps = deps;
    this.#stop = stop;
  }

  async handle(message: Buffer, { transport, port }: Client): Promise<Buffer | undefined> {
    const query = parseQuery(message);
    if (query.kind === "ignored") return undefined;
    if (this.#deps.openQueries.has(port, query.id)) {
      this.#warn(
        "DNS query loop: a query of the DNS proxy came back to it; exclude its traffic from capture, and do not name it in resolv.conf",
      );
      return renderInvalid({ kind: "invalid", id: query.id, flags: message.readUInt16BE(2), rcode: rcode.servFail });
    }
    this.#deps.requests.inc();
    if (query.kind === "invalid") return renderInvalid(query);
    if (query.edns !== undefined && query.edns.version > 0) return renderError(query, rcode.badVersion);
    const local = this.#addressesFromTable(query, transport);
    if (local !== undefined) return local;
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

  async #handleLater(forwarded: ForwardedQuery): Promise<Buffer | undefined> {
    const { query, transport } = forwarded;
    if (!this.#hasTable() && this.#deps.beforeTable === "wait" && isAddressQuery(query)) {
      await this.#untilTable();
      if (this.#stop.aborted) return undefined;
      const local = this.#addressesFromTable(query, transport);
      if (local !== undefined) return local;
      if (!this.#hasTable()) return renderError(query, rcode.servFail);
    }
    const response = await this.#forward(forwarded);
    if (this.#stop.aborted) return undefined;
    const isError = response === undefined || responseCode(response) !== rcode.noError;
    const host = isError ? this.#hostFromTable(query) : undefined;
    if (host !== undefined) return host;
    return response === undefined
      ? renderError(query, rcode.servFail)
      : fitResponse(response, query, maxResponseBytes(query, transport));
  }

  /** For PTR queries that the resolvers cannot answer: the address is one that only the mesh knows. */
  #hostFromTable(query: Query): Buffer | undefined {
    const { current } = this.#deps.lookup;
    const found = current === undefined ? undefined : findHost(query, current);
    return found === undefined ? undefined : renderHost(query, found);
  }

  /** A resolver's response; when there is none or SERVFAIL, a stale one if there is one. */
  async #forward(forwarded: ForwardedQuery): Promise<Buffer | undefined> {
    const { query, transport } = forwarded;
    const { resolvers, forwarder, stale, log } = this.#deps;
    const { servers } = resolvers();
    const previous = stale.find(query);
    const share = previous === undefined ? 1 : staleAfterShare;
    const response = await forwarder.forward(forwarded, servers, share, this.#stop);
    if (response !== undefined && responseCode(response) !== rcode.servFail) {
      stale.keep(query, response);
      return response;
    }
    if (this.#stop.aborted) return undefined;
    if (response === undefined) this.#warn("no DNS resolver responds", { servers });
    const outcome = previous === undefined ? "failure" : "stale response";
    log.debug("DNS query failed", { name: query.name, type: query.type, transport, outcome });
    return previous ?? response;
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
    if (nowMs - (this.#warnedAtMs.get(message) ?? Number.NEGATIVE_INFINITY) < warningIntervalMs) return;
    this.#warnedAtMs.set(message, nowMs);
    this.#deps.log.warn(message, fields);
  }
}
