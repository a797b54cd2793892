// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { flag, headerBytes, rcode, recordType } from "./message.ts";
import type { Query } from "./query.ts";
import { FormatError, recordsOf } from "./records.ts";
import { replyCode } from "./response.ts";

const mostReplies = 1_000;
const longestReply = 4_096;
const maxAgeMs = 24 * 60 * 60_000;

/** What a reply from before is good for. Source: RFC 8767 section 4 */
const staleTtlSeconds = 30;

interface KeptReply {
  readonly reply: Buffer;
  /** Where the TTLs stand in it. */
  readonly ttlsAt: readonly number[];
  readonly atMs: number;
}

/**
 * The last replies with records in them, for the time when no resolver answers. The least recently given ones give way.
 * Source of the idea: RFC 8767
 */
export class StaleReplies {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #kept = new Map<string, KeptReply>();

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Keeps a reply that is whole, short, and has records. */
  keep(query: Query, reply: Buffer): void {
    const isCut = (reply.readUInt16BE(2) & flag.truncated) !== 0;
    if (isCut || replyCode(reply) !== rcode.noError || reply.readUInt16BE(6) === 0 || reply.length > longestReply)
      return;
    const ttlsAt = ttlPlaces(reply, query);
    if (ttlsAt === undefined) return;
    const key = keyOf(query);
    this.#kept.delete(key);
    // a copy of its own: a slice would keep the whole buffer it is from
    this.#kept.set(key, { reply: Buffer.from(reply), ttlsAt, atMs: this.#clock.monotonicMs() });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > mostReplies && oldest !== undefined) this.#kept.delete(oldest);
  }

  /** The reply to the same question, as it may be given now. */
  find(query: Query): Buffer | undefined {
    const kept = this.#kept.get(keyOf(query));
    if (kept === undefined || this.#clock.monotonicMs() - kept.atMs > maxAgeMs) return undefined;
    const reply = Buffer.from(kept.reply);
    query.question.copy(reply, headerBytes);
    for (const at of kept.ttlsAt) reply.writeUInt32BE(Math.min(staleTtlSeconds, reply.readUInt32BE(at)), at);
    return reply;
  }
}

/** Questions with the same key may have the same reply: EDNS, DNSSEC, RD and CD are in it, the letter case is not. */
function keyOf({ question, flags, edns }: Query): string {
  const extension = edns === undefined ? "-" : String(edns.isSecure);
  return `${String(flags & 0x7910)}/${extension}/${question.toString("latin1").toLowerCase()}`;
}

/** Undefined for a reply that cannot be read. */
function ttlPlaces(reply: Buffer, { question }: Query): readonly number[] | undefined {
  if (reply.readUInt16BE(4) !== 1) return undefined;
  const count = [6, 8, 10].reduce((sum, at) => sum + reply.readUInt16BE(at), 0);
  try {
    const places = [...recordsOf(reply, headerBytes + question.length, count)];
    return places.filter(({ type }) => type !== recordType.opt).map(({ start }) => start + 4);
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}
