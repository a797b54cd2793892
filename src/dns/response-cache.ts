// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Budget } from "../lib/budget.ts";
import type { MemoryGuard } from "../lib/memory-guard.ts";
import type { Budgets } from "../model/limits.ts";
import { flag, FormatError, headerBytes, rcode, recordsOf, recordType } from "./message.ts";
import type { Query } from "./query.ts";
import { hasRecords, responseCode, withOwnEdns } from "./response.ts";

/** How long a response is kept for an outage of the resolvers, and the most that a TTL counts. */
const maxAgeMs = 24 * 60 * 60_000;

/** How long "no such name" or "no such record" is valid at most. Source: RFC 2308 section 5 */
const maxNegativeSeconds = 3 * 60 * 60;

/** TTL of a stale response. Source: RFC 8767 section 4 */
const staleTtlSeconds = 30;

interface KeptResponse {
  /** Without the EDNS record, which belongs to one connection. */
  readonly response: Buffer;
  readonly records: ReadRecords;
  readonly keptAtMs: number;
  /** Seconds for which it is valid. */
  readonly ttlSeconds: number;
  /** The resolvers that were in use. */
  readonly resolvers: unknown;
}

export interface CachedResponse {
  readonly response: Buffer;
  /** Whether its TTL has not passed and the resolvers are the same. */
  readonly isFresh: boolean;
}

export interface ResponseCacheDeps {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly budgets: Budgets;
}

/**
 * The latest responses of the resolvers: reused as long as their TTL says, and those with records also for a day while
 * no resolver responds. The oldest ones are dropped.
 * Source: RFC 1035 section 7.4, RFC 2308 section 5, RFC 8767
 */
export class ResponseCache {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #random: () => number;
  readonly #kept = new Map<string, KeptResponse>();
  readonly #budget: Budget;
  readonly #maxBytes: number;
  readonly #memory: MemoryGuard;

  constructor({ clock, random, budgets }: ResponseCacheDeps) {
    this.#clock = clock;
    this.#random = random;
    this.#budget = budgets.of("dns-cached-responses");
    this.#maxBytes = budgets.of("dns-cached-response-bytes").size;
    this.#memory = budgets.memory;
  }

  /**
   * Keeps a response, unless memory is short, that is complete, short, and has records or says for how long there are none.
   * @param resolvers equal for the same resolvers
   */
  keep(query: Query, received: Buffer, resolvers: unknown): void {
    const isTruncated = (received.readUInt16BE(2) & flag.truncated) !== 0;
    const code = responseCode(received);
    if (isTruncated || (code !== rcode.noError && code !== rcode.nxDomain) || received.length > this.#maxBytes) return;
    if (query.edns?.isPrivate === true || this.#memory.isShort()) return;
    const response = withoutEdns(received, query);
    const records = response === undefined ? undefined : readRecords(response, query);
    if (response === undefined || records === undefined) return;
    const isNegative = code === rcode.nxDomain || response.readUInt16BE(6) === 0;
    const ttlSeconds = isNegative ? records.negativeSeconds : records.ttlSeconds;
    if (isNegative && ttlSeconds === 0) return;
    const key = keyOf(query);
    this.#drop(key);
    const [oldest] = this.#kept.keys();
    if (this.#budget.used >= this.#budget.size && oldest !== undefined) this.#drop(oldest);
    if (!this.#budget.tryTake()) return;
    this.#kept.set(key, { response, records, keptAtMs: this.#clock.monotonicMs(), ttlSeconds, resolvers });
  }

  #drop(key: string): void {
    if (this.#kept.delete(key)) this.#budget.release();
  }

  /** The response to the same question, with reduced TTLs, its addresses in another order, in the query's letter case. */
  find(query: Query, resolvers: unknown): CachedResponse | undefined {
    if (query.edns?.isPrivate === true) return undefined;
    const kept = this.#kept.get(keyOf(query));
    if (kept === undefined) return undefined;
    const ageMs = this.#clock.monotonicMs() - kept.keptAtMs;
    const isFresh = ageMs < Math.min(maxAgeMs, kept.ttlSeconds * 1_000) && kept.resolvers === resolvers;
    const isPositive = hasRecords(kept.response);
    if (!isFresh && (!isPositive || ageMs > maxAgeMs)) return undefined;
    const response = Buffer.from(kept.response);
    query.question.copy(response, headerBytes);
    for (const at of kept.records.ttlsAt) {
      const ttlSeconds = response.readUInt32BE(at);
      const left = isFresh ? ttlSeconds - Math.floor(ageMs / 1_000) : Math.min(staleTtlSeconds, ttlSeconds);
      response.writeUInt32BE(Math.max(0, left), at);
    }
    this.#rotate(response, kept);
    return { response: withOwnEdns(response, query), isFresh };
  }

  /** Clients connect to the first address: each is the first one in turn, as with a resolver. */
  #rotate(response: Buffer, { records: { addressesAt, addressBytes }, response: original }: KeptResponse): void {
    const shift = Math.floor(this.#random() * addressesAt.length);
    for (const [index, at] of addressesAt.entries()) {
      const from = addressesAt[(index + shift) % addressesAt.length] ?? at;
      original.copy(response, at, from, from + addressBytes);
    }
  }
}

/** Queries with the same key have the same response. EDNS, DNSSEC, RD and CD are part of it, the letter case is not. */
function keyOf({ question, flags, edns }: Query): string {
  const extension = edns === undefined ? "-" : String(edns.isSecure);
  return `${String(flags & 0x7910)}/${extension}/${question.toString("latin1").toLowerCase()}`;
}

/** A copy without the EDNS record; undefined where that is not the last record, or carries an error. */
function withoutEdns(response: Buffer, query: Query): Buffer | undefined {
  const records = listRecords(response, query);
  if (records === undefined) return undefined;
  const opt = records.find(({ type }) => type === recordType.opt);
  let end = response.length;
  let additionals = response.readUInt16BE(10);
  if (opt !== undefined) {
    if (opt !== records.at(-1) || opt.start - opt.owner !== 1 || response.readUInt8(opt.start + 4) !== 0)
      return undefined;
    end = opt.owner;
    additionals--;
  }
  // a copy: a view would keep the whole buffer that it is part of
  const copy = Buffer.from(response.subarray(0, end));
  copy.writeUInt16BE(additionals, 10);
  return copy;
}

interface ReadRecords {
  /** Positions of the TTLs. */
  readonly ttlsAt: readonly number[];
  /** The smallest one. */
  readonly ttlSeconds: number;
  /** For how long there is no record, by the SOA record; 0 without one. */
  readonly negativeSeconds: number;
  /** Positions of the addresses of one name and family, which may be in any order. */
  readonly addressesAt: readonly number[];
  readonly addressBytes: number;
}

/** Undefined for a malformed response. */
function readRecords(response: Buffer, query: Query): ReadRecords | undefined {
  const records = listRecords(response, query);
  if (records === undefined) return undefined;
  const ttlOf = (start: number): number => {
    const seconds = response.readUInt32BE(start + 4);
    // Source: RFC 2181 section 8
    return seconds > 0x7fff_ffff ? 0 : seconds;
  };
  const answers = response.readUInt16BE(6);
  const authorities = records.slice(answers, answers + response.readUInt16BE(8));
  const soa = authorities.find(({ type, start, end }) => type === recordType.soa && end - start >= 32);
  const minimum = soa === undefined ? 0 : Math.min(ttlOf(soa.start), response.readUInt32BE(soa.end - 4));
  const ttlSeconds = Math.min(...records.map(({ start }) => ttlOf(start)));
  const negativeSeconds = Math.min(maxNegativeSeconds, minimum, ttlSeconds);
  const isAddress = ({ type, start, end }: (typeof records)[number]): boolean =>
    type === query.type && end - start - 10 === addressBytesOf(type);
  const addresses = records.slice(0, answers).filter(isAddress);
  const ownerOf = ({ owner, start }: (typeof records)[number]): Buffer => response.subarray(owner, start);
  const [first] = addresses;
  const sameOwner = first === undefined ? [] : addresses.filter((record) => ownerOf(record).equals(ownerOf(first)));
  return {
    ttlsAt: records.map(({ start }) => start + 4),
    ttlSeconds,
    negativeSeconds,
    addressesAt: sameOwner.map(({ start }) => start + 10),
    addressBytes: addressBytesOf(query.type),
  };
}

function addressBytesOf(type: number): number {
  return type === recordType.a ? 4 : type === recordType.aaaa ? 16 : -1;
}

function listRecords(response: Buffer, { question }: Query) {
  if (response.readUInt16BE(4) !== 1) return undefined;
  const count = [6, 8, 10].reduce((sum, at) => sum + response.readUInt16BE(at), 0);
  try {
    return [...recordsOf(response, headerBytes + question.length, count)];
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
