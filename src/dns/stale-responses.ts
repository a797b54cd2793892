// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";
import { flag, FormatError, headerBytes, rcode, recordsOf, recordType } from "./message.ts";
import type { Query } from "./query.ts";
import { responseCode } from "./response.ts";

const maxAgeMs = 24 * 60 * 60_000;

/** TTL of a stale response. Source: RFC 8767 section 4 */
const staleTtlSeconds = 30;

interface KeptResponse {
  readonly response: Buffer;
  /** Positions of the TTLs. */
  readonly ttlsAt: readonly number[];
  readonly keptAtMs: number;
}

/**
 * The latest responses with records, for the time when no resolver responds. The oldest ones are dropped.
 * Source of the idea: RFC 8767
 */
export class StaleResponses {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #kept = new Map<string, KeptResponse>();

  readonly #budget: Budget;
  readonly #maxBytes: number;

  constructor(clock: Pick<Clock, "monotonicMs">, budgets: Budgets) {
    this.#clock = clock;
    this.#budget = budgets.of("dns-stale-responses");
    this.#maxBytes = budgets.of("dns-stale-response-bytes").size;
  }

  /** Keeps a response that is complete, short, and has records. */
  keep(query: Query, response: Buffer): void {
    const isTruncated = (response.readUInt16BE(2) & flag.truncated) !== 0;
    if (isTruncated || responseCode(response) !== rcode.noError) return;
    if (response.readUInt16BE(6) === 0 || response.length > this.#maxBytes) return;
    const ttlsAt = ttlPositions(response, query);
    if (ttlsAt === undefined) return;
    const key = keyOf(query);
    this.#drop(key);
    const [oldest] = this.#kept.keys();
    if (this.#budget.used >= this.#budget.size && oldest !== undefined) this.#drop(oldest);
    if (!this.#budget.tryTake()) return;
    // A copy: a view would keep the whole buffer that it is part of.
    this.#kept.set(key, { response: Buffer.from(response), ttlsAt, keptAtMs: this.#clock.monotonicMs() });
  }

  #drop(key: string): void {
    if (this.#kept.delete(key)) this.#budget.release();
  }

  /** The response to the same question, with reduced TTLs and the query's letter case. */
  find(query: Query): Buffer | undefined {
    const kept = this.#kept.get(keyOf(query));
    if (kept === undefined || this.#clock.monotonicMs() - kept.keptAtMs > maxAgeMs) return undefined;
    const response = Buffer.from(kept.response);
    query.question.copy(response, headerBytes);
    for (const at of kept.ttlsAt) response.writeUInt32BE(Math.min(staleTtlSeconds, response.readUInt32BE(at)), at);
    return response;
  }
}

/** Queries with the same key have the same response. EDNS, DNSSEC, RD and CD are part of it, the letter case is not. */
function keyOf({ question, flags, edns }: Query): string {
  const extension = edns === undefined ? "-" : String(edns.isSecure);
  return `${String(flags & 0x7910)}/${extension}/${question.toString("latin1").toLowerCase()}`;
}

/** Undefined for a malformed response. */
function ttlPositions(response: Buffer, { question }: Query): readonly number[] | undefined {
  if (response.readUInt16BE(4) !== 1) return undefined;
  const count = [6, 8, 10].reduce((sum, at) => sum + response.readUInt16BE(at), 0);
  try {
    const records = [...recordsOf(response, headerBytes + question.length, count)];
    return records.filter(({ type }) => type !== recordType.opt).map(({ start }) => start + 4);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
