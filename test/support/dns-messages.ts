// SPDX-License-Identifier: Apache-2.0
// DNS messages as tests write and read them, by a reading of RFC 1035 of their own.

export const types = {
  A: 1,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  HTTPS: 65,
  ANY: 255,
} as const;
export type TypeName = keyof typeof types;

export interface DnsRecord {
  readonly name: string;
  readonly type: number;
  readonly class: number;
  readonly ttl: number;
  /** An address or a name as text, else hexadecimal. */
  readonly data: string;
}

export interface DnsMessage {
  readonly id: number;
  readonly flags: { readonly [Name in "qr" | "aa" | "tc" | "rd" | "ra" | "ad" | "cd"]: boolean };
  readonly opcode: number;
  readonly rcode: number;
  readonly questions: readonly Pick<DnsRecord, "name" | "type" | "class">[];
  readonly answers: readonly DnsRecord[];
  readonly authorities: readonly DnsRecord[];
  readonly additionals: readonly DnsRecord[];
  readonly bytes: number;
}

export interface QueryParts {
  readonly id?: number;
  readonly type?: TypeName;
  readonly class?: number;
  /** The second 16 bits of the header. */
  readonly flags?: number;
  /** The size that the client announces; undefined sends no OPT. */
  readonly ednsBytes?: number;
  readonly ednsVersion?: number;
  /** Data of the OPT record. */
  readonly ednsOptions?: Buffer;
}

export function encodeQuery(name: string, parts: QueryParts = {}): Buffer {
  const { id = 0x1234, type = "A", flags = 0x0100, ednsBytes, ednsVersion = 0, ednsOptions = Buffer.alloc(0) } = parts;
  const optHead = bytes16(0, types.OPT, ednsBytes ?? 0, ednsVersion, 0x8000, ednsOptions.length).subarray(1);
  const opt = ednsBytes === undefined ? [] : [Buffer.concat([optHead, ednsOptions])];
  const header = bytes16(id, flags, 1, 0, 0, opt.length);
  return Buffer.concat([header, encodeName(name), bytes16(types[type], parts.class ?? 1), ...opt]);
}

/** A reply to the bytes of a query, with address records for its name, or none. */
export function encodeReply(query: Buffer, addresses: readonly string[] = [], flags = 0x8180, ttl = 60): Buffer {
  const question = questionOf(query);
  const records = addresses.map((address) => {
    const data = Buffer.from(address.split(".").map(Number));
    return Buffer.concat([bytes16(0xc00c, types.A, 1, ttl >>> 16, ttl & 0xffff, data.length), data]);
  });
  return Buffer.concat([bytes16(query.readUInt16BE(0), flags, 1, records.length, 0, 0), question, ...records]);
}

/** What a reply says besides its question. */
export interface ReplyParts {
  readonly flags?: number;
  readonly ttl?: number;
  /** TTL and minimum of an SOA record. */
  readonly negative?: readonly [ttl: number, minimum: number];
  /** Data of an OPT record; undefined for none. */
  readonly ednsOptions?: Buffer;
}

export function encodeFullReply(query: Buffer, addresses: readonly string[], parts: ReplyParts): Buffer {
  const { flags = 0x8180, ttl = 60, negative, ednsOptions } = parts;
  const reply = encodeReply(query, addresses, flags, ttl);
  const soaData = Buffer.concat([Buffer.alloc(2), bytes16(0, 1, 0, 2, 0, 3, 0, 4, 0, negative?.[1] ?? 0)]);
  const soa = Buffer.concat([bytes16(0xc00c, types.SOA, 1, 0, negative?.[0] ?? 0, soaData.length), soaData]);
  const opt = bytes16(0, types.OPT, 1232, 0, 0, ednsOptions?.length ?? 0).subarray(1);
  if (negative !== undefined) reply.writeUInt16BE(1, 8);
  if (ednsOptions !== undefined) reply.writeUInt16BE(1, 10);
  const additional = ednsOptions === undefined ? [] : [opt, ednsOptions];
  return Buffer.concat([reply, ...(negative === undefined ? [] : [soa]), ...additional]);
}

export function questionOf(query: Buffer): Buffer {
  let at = 12;
  while (query[at] !== 0) at += (query[at] ?? 0) + 1;
  return query.subarray(12, at + 5);
}

/** The one question of a query, whatever else is wrong with the bytes. */
export function decodeQuestion(query: Buffer): Pick<DnsRecord, "name" | "type"> {
  const { name, end } = decodeName(query, 12);
  return { name, type: query.readUInt16BE(end) };
}

export function decodeMessage(bytes: Buffer): DnsMessage {
  const flags = bytes.readUInt16BE(2);
  const has = (bit: number): boolean => (flags & bit) !== 0;
  let at = 12;
  const questions = times(bytes.readUInt16BE(4), () => {
    const { name, end } = decodeName(bytes, at);
    at = end + 4;
    return { name, type: bytes.readUInt16BE(end), class: bytes.readUInt16BE(end + 2) };
  });
  const records = (count: number): DnsRecord[] =>
    times(count, () => {
      const { name, end } = decodeName(bytes, at);
      const type = bytes.readUInt16BE(end);
      const data = bytes.subarray(end + 10, end + 10 + bytes.readUInt16BE(end + 8));
      at = end + 10 + data.length;
      const [kind, ttl] = [bytes.readUInt16BE(end + 2), bytes.readUInt32BE(end + 4)];
      return { name, type, class: kind, ttl, data: decodeData(type, bytes, end + 10, data) };
    });
  const [answers, authorities, additionals] = [6, 8, 10].map((where) => records(bytes.readUInt16BE(where)));
  if (at !== bytes.length) throw new Error(`${String(bytes.length - at)} bytes are left over`);
  if (authorities === undefined || answers === undefined || additionals === undefined) throw new Error("no sections");
  return {
    id: bytes.readUInt16BE(0),
    flags: {
      qr: has(0x8000),
      aa: has(0x0400),
      tc: has(0x0200),
      rd: has(0x0100),
      ra: has(0x0080),
      ad: has(0x0020),
      cd: has(0x0010),
    },
    opcode: (flags >> 11) & 15,
    rcode: flags & 15,
    questions,
    answers,
    authorities,
    additionals,
    bytes: bytes.length,
  };
}

function decodeData(type: number, message: Buffer, at: number, data: Buffer): string {
  if (type === types.A) return data.join(".");
  if (type === types.CNAME || type === types.PTR) return decodeName(message, at).name;
  if (type !== types.AAAA) return data.toString("hex");
  return (data.toString("hex").match(/..../g) ?? []).map((group) => Number.parseInt(group, 16).toString(16)).join(":");
}

function decodeName(bytes: Buffer, from: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let end: number | undefined;
  for (let at = from, jumps = 0; ; ) {
    const length = bytes.readUInt8(at);
    if (length >= 0xc0) {
      end ??= at + 2;
      at = bytes.readUInt16BE(at) & 0x3fff;
      if (++jumps > 5) throw new Error("a loop of pointers");
      continue;
    }
    if (length === 0) return { name: `${labels.join(".")}.`, end: end ?? at + 1 };
    labels.push(bytes.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
}

export function encodeName(name: string): Buffer {
  const labels = name.split(".").filter((label) => label !== "");
  const parts = labels.flatMap((label) => [Buffer.of(label.length), Buffer.from(label, "latin1")]);
  return Buffer.concat([...parts, Buffer.of(0)]);
}

function bytes16(...values: readonly number[]): Buffer {
  return Buffer.from(values.flatMap((value) => [(value >> 8) & 255, value & 255]));
}

function times<T>(count: number, make: () => T): T[] {
  return Array.from({ length: count }, make);
}
