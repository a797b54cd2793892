// SPDX-License-Identifier: Apache-2.0
import { byteAt, flag, FormatError, headerBytes, opcode, rcode, recordsOf, recordType } from "./message.ts";

/** A UDP response to a client without EDNS. Source: RFC 1035 section 4.2.1 */
const plainUdpBytes = 512;
/** The largest payload of a UDP packet over IPv4. */
const maxUdpBytes = 65_507;

/** A query with one question. */
export interface Query {
  readonly kind: "query";
  readonly id: number;
  readonly opcode: number;
  /** The second and third pair of header bytes as they came. */
  readonly flags: number;
  /** The question as it came, with the letter case of its name. */
  readonly question: Buffer;
  /** In lower case with a trailing dot; undefined for a name that cannot be written as text. */
  readonly name: string | undefined;
  readonly type: number;
  readonly class: number;
  /** Undefined for a client without EDNS. */
  readonly edns: Edns | undefined;
}

export interface Edns {
  readonly udpBytes: number;
  readonly version: number;
  /** The DO bit: the client understands DNSSEC. */
  readonly isSecure: boolean;
  /** An option is for this query alone, such as the client's subnet: its response is not for others. */
  readonly isPrivate: boolean;
}

/** Bytes that are not a query: they get no response, or one with an error code. */
export type InvalidQuery =
  | { readonly kind: "ignored" }
  | { readonly kind: "invalid"; readonly id: number; readonly flags: number; readonly rcode: number };

/**
 * Parses a query, as far as the proxy needs it. Never throws, whatever the bytes are.
 * Source of the format: RFC 1035 section 4, RFC 6891; of what is invalid: Istio's agent, observed
 */
export function parseQuery(bytes: Buffer): Query | InvalidQuery {
  if (bytes.length < headerBytes) return { kind: "ignored" };
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2);
  if ((flags & flag.response) !== 0) return { kind: "ignored" };
  const invalid = (code: number): InvalidQuery => ({ kind: "invalid", id, flags, rcode: code });
  const operation = opcodeOf(flags);
  if (operation !== opcode.query && operation !== opcode.notify) return invalid(rcode.notImp);
  const [questions = 0, answers = 0, authorities = 0, additionals = 0] = [4, 6, 8, 10].map((at) =>
    bytes.readUInt16BE(at),
  );
  if (questions !== 1 || answers > 1 || authorities > 1 || additionals > 2) return invalid(rcode.formErr);
  try {
    const end = skipQuestion(bytes, headerBytes);
    const question = bytes.subarray(headerBytes, end);
    const edns = findEdns(bytes, end, answers + authorities + additionals);
    const [type, kind] = [bytes.readUInt16BE(end - 4), bytes.readUInt16BE(end - 2)];
    return { kind: "query", id, opcode: operation, flags, question, name: nameText(question), type, class: kind, edns };
  } catch (error) {
    if (error instanceof FormatError) return invalid(rcode.formErr);
    throw error;
  }
}

/** The largest response that the client can take. */
export function maxResponseBytes({ edns }: Query, transport: "udp" | "tcp"): number {
  if (transport === "tcp") return 0xffff;
  return Math.min(maxUdpBytes, Math.max(plainUdpBytes, edns?.udpBytes ?? 0));
}

function opcodeOf(flags: number): number {
  return (flags >> 11) & 15;
}

/** The end of a question. Its name is not compressed: no name is before it. @throws FormatError */
function skipQuestion(bytes: Buffer, from: number): number {
  let at = from;
  for (;;) {
    const length = byteAt(bytes, at);
    if (length > 63) throw new FormatError();
    at += length + 1;
    if (at - from > 255) throw new FormatError();
    if (length === 0) break;
  }
  if (at + 4 > bytes.length) throw new FormatError();
  return at + 4;
}

/** The OPT record among `count` records. @throws FormatError, also when there are two */
function findEdns(bytes: Buffer, from: number, count: number): Edns | undefined {
  let found: Edns | undefined;
  for (const { type, start, end } of recordsOf(bytes, from, count)) {
    if (type !== recordType.opt) continue;
    if (found !== undefined) throw new FormatError();
    const isSecure = (bytes.readUInt16BE(start + 6) & 0x8000) !== 0;
    const isPrivate = hasPrivateOption(bytes.subarray(start + 10, end));
    found = { udpBytes: bytes.readUInt16BE(start + 2), version: bytes.readUInt8(start + 5), isSecure, isPrivate };
  }
  return found;
}

/** Options that a response need not answer: cookie, keepalive, padding. Source: RFC 7873, RFC 7828, RFC 7830 */
const sharedOptions: ReadonlySet<number> = new Set([10, 11, 12]);

function hasPrivateOption(options: Buffer): boolean {
  for (let at = 0; at < options.length; ) {
    if (at + 4 > options.length || !sharedOptions.has(options.readUInt16BE(at))) return true;
    at += 4 + options.readUInt16BE(at + 2);
  }
  return false;
}

/** The name as text; undefined unless its labels are printable ASCII without dots. */
function nameText(question: Buffer): string | undefined {
  let name = "";
  for (let at = 0; question[at] !== 0; ) {
    const length = question[at] ?? 0;
    const label = question.toString("latin1", at + 1, at + 1 + length);
    if (!/^[!-\-/-~]+$/.test(label)) return undefined;
    name += `${label}.`;
    at += length + 1;
  }
  return name === "" ? "." : name.toLowerCase();
}
