// SPDX-License-Identifier: Apache-2.0
import { flag, headerBytes, rcode, recordClass, recordType, withId } from "./message.ts";
import type { Edns, InvalidQuery, Query } from "./query.ts";

/** The UDP payload that this side announces by EDNS. */
const ownUdpBytes = 4_096;

/** The response to an invalid query: a header only, never longer than the query. */
export function renderInvalid({ id, flags, rcode: code }: InvalidQuery & { readonly kind: "invalid" }): Buffer {
  return header({
    id,
    flags: flag.response | (flags & 0x7900) | code,
    answers: 0,
    authorities: 0,
    additionals: 0,
    questions: 0,
  });
}

/** A response with an error code, which may be one of EDNS, and no records. */
export function renderError(query: Query, code: number): Buffer {
  return renderResponse(query, { flags: code & 15, records: [], extendedCode: code >> 4 });
}

/** Addresses of one family. With an alias they are the alias's, and the queried name gets a CNAME. */
export interface AddressRecords {
  /** The name's bytes as on the wire. */
  readonly alias: Buffer | undefined;
  readonly addresses: readonly Uint8Array[];
  readonly ttlSeconds: number;
}

/** Addresses that do not fit are left out, and the response is marked as truncated. Without any it has no data. */
export function renderAddresses(query: Query, found: AddressRecords, maxBytes: number): Buffer {
  const { alias, addresses, ttlSeconds } = found;
  if (addresses.length === 0) return renderNoData(query, ttlSeconds);
  const records: Buffer[] = [];
  if (alias !== undefined) {
    records.push(record({ owner: headerBytes, type: recordType.cname, ttlSeconds, data: alias }));
  }
  /** The alias is the data of the record before: after the question and twelve bytes of record. */
  const owner = alias === undefined ? headerBytes : headerBytes + query.question.length + 12;
  const size = 12 + (addresses[0]?.length ?? 0);
  const used = headerBytes + query.question.length + (records[0]?.length ?? 0) + (query.edns === undefined ? 0 : 11);
  const maxAddresses = Math.max(0, Math.floor((maxBytes - used) / size));
  for (const data of addresses.slice(0, maxAddresses)) {
    records.push(record({ owner, type: data.length === 4 ? recordType.a : recordType.aaaa, ttlSeconds, data }));
  }
  const truncated = maxAddresses < addresses.length ? flag.truncated : 0;
  return renderResponse(query, { flags: flag.authoritative | truncated, records, extendedCode: 0 });
}

/** The name exists and has no record of the queried type; an SOA record says for how long that is valid. */
export function renderNoData(query: Query, ttlSeconds: number): Buffer {
  const authorities = [soaRecord(ttlSeconds)];
  return renderResponse(query, { flags: flag.authoritative, records: [], authorities, extendedCode: 0 });
}

/** The queried name is an alias. @param alias the other name's bytes as on the wire */
export function renderAlias(query: Query, alias: Buffer, ttlSeconds: number): Buffer {
  const records = [record({ owner: headerBytes, type: recordType.cname, ttlSeconds, data: alias })];
  return renderResponse(query, { flags: flag.authoritative, records, extendedCode: 0 });
}

/** The response with an EDNS record if the query has one. @param response without one */
export function withOwnEdns(response: Buffer, { edns }: Query): Buffer {
  if (edns === undefined) return response;
  const extended = Buffer.concat([response, optRecord(edns, 0)]);
  extended.writeUInt16BE(extended.readUInt16BE(10) + 1, 10);
  return extended;
}

/** The host that an address belongs to. */
export interface HostRecord {
  /** With a trailing dot. */
  readonly host: string;
  readonly ttlSeconds: number;
}

/** Undefined for a host that is not a valid name. */
export function renderHost(query: Query, { host, ttlSeconds }: HostRecord): Buffer | undefined {
  const data = nameBytes(host);
  if (data === undefined) return undefined;
  const records = [record({ owner: headerBytes, type: recordType.ptr, ttlSeconds, data })];
  return renderResponse(query, { flags: flag.authoritative, records, extendedCode: 0 });
}

/** A resolver's response for the client; reduced to its header and question, marked as truncated, when it is too long. */
export function fitResponse(response: Buffer, query: Query, maxBytes: number): Buffer {
  const whole = withId(response, query.id);
  if (whole.length <= maxBytes) return whole;
  const short = renderResponse(query, { flags: flag.truncated, records: [], extendedCode: 0 });
  short.writeUInt16BE(whole.readUInt16BE(2) | flag.truncated, 2);
  return short;
}

/** Whether the bytes are a response with that ID to that question. An error response need not repeat the question. */
export function isResponseTo(bytes: Buffer, { question }: Pick<Query, "question">, id: number): boolean {
  if (bytes.length < headerBytes || (bytes.readUInt8(2) & 0x80) === 0 || bytes.readUInt16BE(0) !== id) return false;
  const questions = bytes.readUInt16BE(4);
  if (questions === 0) return responseCode(bytes) !== rcode.noError;
  const nameEnd = question.length - 4;
  const repeated = bytes.subarray(headerBytes, headerBytes + question.length);
  return (
    questions === 1 &&
    repeated.length === question.length &&
    repeated.subarray(nameEnd).equals(question.subarray(nameEnd)) &&
    lowerCase(repeated, nameEnd) === lowerCase(question, nameEnd)
  );
}

/** Whether a response is no error and has an answer. */
export function hasRecords(response: Buffer): boolean {
  return responseCode(response) === rcode.noError && response.readUInt16BE(6) > 0;
}

export function responseCode(response: Buffer): number {
  return response.readUInt8(3) & 15;
}

function lowerCase(question: Buffer, nameEnd: number): string {
  return question.toString("latin1", 0, nameEnd).toLowerCase();
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
  /** Position of the owner's name in the message. */
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

/** The name is its own zone, whose mailbox is `hostmaster`. Source: RFC 1035 section 3.3.13, RFC 2308 section 5 */
function soaRecord(ttlSeconds: number): Buffer {
  const mailbox = "hostmaster";
  const name = Buffer.of(0xc0, headerBytes);
  const numbers = Buffer.alloc(20);
  for (const [index, value] of [1, 7_200, 1_800, 86_400, ttlSeconds].entries()) numbers.writeUInt32BE(value, 4 * index);
  const data = Buffer.concat([name, Buffer.of(mailbox.length), Buffer.from(mailbox), name, numbers]);
  return record({ owner: headerBytes, type: recordType.soa, ttlSeconds, data });
}

interface ResponseParts {
  /** In addition to those of every response. */
  readonly flags: number;
  readonly records: readonly Buffer[];
  readonly authorities?: readonly Buffer[];
  readonly extendedCode: number;
}

/** Recursion is available; RD and CD are the client's. The question is repeated in its letter case. */
function renderResponse(
  { id, flags: queryFlags, question, edns }: Query,
  { flags, records, authorities = [], extendedCode }: ResponseParts,
): Buffer {
  const all = flag.response | flag.recursionAvailable | (queryFlags & 0x7910) | flags;
  const additionals = edns === undefined ? 0 : 1;
  const counts = { questions: 1, answers: records.length, authorities: authorities.length, additionals };
  const opt = edns === undefined ? [] : [optRecord(edns, extendedCode)];
  return Buffer.concat([header({ id, flags: all, ...counts }), question, ...records, ...authorities, ...opt]);
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
  readonly authorities: number;
  readonly additionals: number;
}

function header({ id, flags, questions, answers, authorities, additionals }: HeaderParts): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  for (const [index, value] of [id, flags, questions, answers, authorities, additionals].entries()) {
    bytes.writeUInt16BE(value, 2 * index);
  }
  return bytes;
}
