// SPDX-License-Identifier: Apache-2.0
import { flag, headerBytes, rcode, recordClass, recordType } from "./message.ts";
import type { Edns, Query, Refusal } from "./query.ts";

/** What this side can take over UDP. */
const ownUdpBytes = 4_096;

/** A reply to what could not even be read as a query: a header alone, never longer than what was asked. */
export function renderRefusal({ id, flags, rcode: code }: Refusal & { readonly kind: "refusal" }): Buffer {
  return header({ id, flags: flag.reply | (flags & 0x7900) | code, answers: 0, additionals: 0, questions: 0 });
}

/** A reply without records, with a code that may be one of EDNS's. */
export function renderFailure(query: Query, code: number): Buffer {
  return renderReply(query, { flags: code & 15, records: [], extendedCode: code >> 4 });
}

/** Addresses of one family; under another name, where the question's is an alias of that. */
export interface AddressAnswer {
  /** The name's bytes as on the wire. */
  readonly alias: Buffer | undefined;
  readonly addresses: readonly Uint8Array[];
  readonly ttlSeconds: number;
}

/** What does not fit is cut off, and the reply says so. The name is written as it was asked. */
export function renderAnswer(query: Query, answer: AddressAnswer, maxBytes: number): Buffer {
  const { alias, addresses, ttlSeconds } = answer;
  const records: Buffer[] = [];
  if (alias !== undefined && addresses.length > 0) {
    records.push(record({ owner: headerBytes, type: recordType.cname, ttlSeconds, data: alias }));
  }
  /** The alias' name stands in the data of the record before: behind the question and twelve bytes of record. */
  const owner = alias === undefined ? headerBytes : headerBytes + query.question.length + 12;
  const size = 12 + (addresses[0]?.length ?? 0);
  const used = headerBytes + query.question.length + (records[0]?.length ?? 0) + (query.edns === undefined ? 0 : 11);
  const room = Math.max(0, Math.floor((maxBytes - used) / size));
  for (const data of addresses.slice(0, room)) {
    records.push(record({ owner, type: data.length === 4 ? recordType.a : recordType.aaaa, ttlSeconds, data }));
  }
  const truncated = room < addresses.length ? flag.truncated : 0;
  return renderReply(query, { flags: flag.authoritative | truncated, records, extendedCode: 0 });
}

/** The host that an address belongs to. */
export interface HostAnswer {
  /** With a trailing dot. */
  readonly host: string;
  readonly ttlSeconds: number;
}

/** Undefined for a host that is no name. */
export function renderHost(query: Query, { host, ttlSeconds }: HostAnswer): Buffer | undefined {
  const data = nameBytes(host);
  if (data === undefined) return undefined;
  const records = [record({ owner: headerBytes, type: recordType.ptr, ttlSeconds, data })];
  return renderReply(query, { flags: flag.authoritative, records, extendedCode: 0 });
}

function nameBytes(name: string): Buffer | undefined {
  const labels = name
    .split(".")
    .filter((label) => label !== "")
    .map((label) => Buffer.from(label));
  const bytes = Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), label]), Buffer.alloc(1)]);
  return bytes.length > 255 || labels.some(({ length }) => length > 63) ? undefined : bytes;
}

interface RecordParts {
  /** Where in the message the owner's name stands. */
  readonly owner: number;
  readonly type: number;
  readonly ttlSeconds: number;
  readonly data: Uint8Array;
}

function record({ owner, type, ttlSeconds, data }: RecordParts): Buffer {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt16BE(0xc000 | owner, 0);
  bytes.writeUInt16BE(type, 2);
  bytes.writeUInt16BE(recordClass.internet, 4);
  bytes.writeUInt32BE(ttlSeconds, 6);
  bytes.writeUInt16BE(data.length, 10);
  bytes.set(data, 12);
  return bytes;
}

interface ReplyParts {
  /** Beside those that every reply has. */
  readonly flags: number;
  readonly records: readonly Buffer[];
  readonly extendedCode: number;
}

/** Recursion is available; RD and CD are the client's. */
function renderReply(
  { id, flags: asked, question, edns }: Query,
  { flags, records, extendedCode }: ReplyParts,
): Buffer {
  const all = flag.reply | flag.recursionAvailable | (asked & 0x7910) | flags;
  const additionals = edns === undefined ? 0 : 1;
  const start = header({ id, flags: all, questions: 1, answers: records.length, additionals });
  return Buffer.concat([start, question, ...records, ...(edns === undefined ? [] : [optRecord(edns, extendedCode)])]);
}

function optRecord({ isSecure }: Edns, extendedCode: number): Buffer {
  const bytes = Buffer.alloc(11);
  bytes.writeUInt16BE(recordType.opt, 1);
  bytes.writeUInt16BE(ownUdpBytes, 3);
  bytes.writeUInt8(extendedCode, 5);
  bytes.writeUInt16BE(isSecure ? 0x8000 : 0, 7);
  return bytes;
}

interface HeaderParts {
  readonly id: number;
  readonly flags: number;
  readonly questions: number;
  readonly answers: number;
  readonly additionals: number;
}

function header({ id, flags, questions, answers, additionals }: HeaderParts): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  for (const [index, value] of [id, flags, questions, answers, 0, additionals].entries()) {
    bytes.writeUInt16BE(value, 2 * index);
  }
  return bytes;
}

/** A resolver's reply as the client can take it: cut down to its header and question, if it is too long. */
export function fitReply(reply: Buffer, query: Query, maxBytes: number): Buffer {
  const whole = withId(reply, query.id);
  if (whole.length <= maxBytes) return whole;
  const short = renderReply(query, { flags: flag.truncated, records: [], extendedCode: 0 });
  short.writeUInt16BE(whole.readUInt16BE(2) | flag.truncated, 2);
  return short;
}

/** The same message under another ID. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** Whether the bytes are a reply to that question under that ID. A refusal need not repeat the question. */
export function isReplyTo(bytes: Buffer, { question }: Pick<Query, "question">, id: number): boolean {
  if (bytes.length < headerBytes || (bytes.readUInt8(2) & 0x80) === 0 || bytes.readUInt16BE(0) !== id) return false;
  const questions = bytes.readUInt16BE(4);
  if (questions === 0) return replyCode(bytes) !== rcode.noError;
  const nameBytes = question.length - 4;
  const repeated = bytes.subarray(headerBytes, headerBytes + question.length);
  return (
    questions === 1 &&
    repeated.length === question.length &&
    repeated.subarray(nameBytes).equals(question.subarray(nameBytes)) &&
    lowerCase(repeated, nameBytes) === lowerCase(question, nameBytes)
  );
}

function lowerCase(question: Buffer, nameBytes: number): string {
  return question.toString("latin1", 0, nameBytes).toLowerCase();
}

export function replyCode(reply: Buffer): number {
  return reply.readUInt8(3) & 15;
}
