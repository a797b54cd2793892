// SPDX-License-Identifier: Apache-2.0
import { byteAt, FormatError, recordsOf } from "./records.ts";
import { flag, headerBytes, opcode, rcode, recordType } from "./message.ts";

/** What a client can take over UDP that says nothing about it. Source: RFC 1035 section 4.2.1 */
const plainUdpBytes = 512;
/** The longest payload that a UDP packet over IPv4 holds. */
const longestUdpBytes = 65_507;

/** The one question of a query that can be answered. */
export interface Query {
  readonly kind: "query";
  readonly id: number;
  readonly opcode: number;
  /** The second and third pair of header bytes as they came. */
  readonly flags: number;
  /** The question as it came, with the letter case of its name. */
  readonly question: Buffer;
  /** In lower case with a trailing dot; undefined for a name that no text can hold. */
  readonly name: string | undefined;
  readonly type: number;
  readonly class: number;
  /** Undefined for a client without EDNS. */
  readonly edns: Edns | undefined;
}

export interface Edns {
  readonly udpBytes: number;
  readonly version: number;
  /** Whether it understands DNSSEC. */
  readonly isSecure: boolean;
}

/** What to do with bytes that are not a query: say nothing, or only that. */
export type Refusal =
  | { readonly kind: "silence" }
  | { readonly kind: "refusal"; readonly id: number; readonly flags: number; readonly rcode: number };

/**
 * Takes a query apart, as far as it matters here. Never throws, whatever the bytes are.
 * Source of the format: RFC 1035 section 4, RFC 6891; of what is refused: Istio's agent, observed
 */
export function parseQuery(bytes: Buffer): Query | Refusal {
  if (bytes.length < headerBytes) return { kind: "silence" };
  const id = bytes.readUInt16BE(0);
  const flags = bytes.readUInt16BE(2);
  if ((flags & flag.reply) !== 0) return { kind: "silence" };
  const refusal = (code: number): Refusal => ({ kind: "refusal", id, flags, rcode: code });
  const operation = opcodeOf(flags);
  if (operation !== opcode.query && operation !== opcode.notify) return refusal(rcode.notImp);
  const [questions = 0, answers = 0, authorities = 0, additionals = 0] = [4, 6, 8, 10].map((at) =>
    bytes.readUInt16BE(at),
  );
  if (questions !== 1 || answers > 1 || authorities > 1 || additionals > 2) return refusal(rcode.formErr);
  try {
    const end = skipQuestion(bytes, headerBytes);
    const question = bytes.subarray(headerBytes, end);
    const edns = findEdns(bytes, end, answers + authorities + additionals);
    const [type, kind] = [bytes.readUInt16BE(end - 4), bytes.readUInt16BE(end - 2)];
    return { kind: "query", id, opcode: operation, flags, question, name: nameText(question), type, class: kind, edns };
  } catch (error) {
    if (error instanceof FormatError) return refusal(rcode.formErr);
    throw error;
  }
}

function opcodeOf(flags: number): number {
  return (flags >> 11) & 15;
}

/**
 * The end of a question; its name is not compressed, because there is nothing before it that it could point at.
 * @throws FormatError
 */
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
  for (const { type, start } of recordsOf(bytes, from, count)) {
    if (type !== recordType.opt) continue;
    if (found !== undefined) throw new FormatError();
    const isSecure = (bytes.readUInt16BE(start + 6) & 0x8000) !== 0;
    found = { udpBytes: bytes.readUInt16BE(start + 2), version: bytes.readUInt8(start + 5), isSecure };
  }
  return found;
}

/** Only of names whose text says all: with labels of printable ASCII without dots in them. */
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

/** The most bytes that a client can take. */
export function longestReplyBytes({ edns }: Query, transport: "udp" | "tcp"): number {
  if (transport === "tcp") return 0xffff;
  return Math.min(longestUdpBytes, Math.max(plainUdpBytes, edns?.udpBytes ?? 0));
}
