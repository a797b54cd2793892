// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders } from "node:http2";

/** Request metadata: names in lower case. Values of names that end in `-bin` are base64. */
export type Metadata = Readonly<Record<string, string>>;

/** The metadata of a call: every header that is not HTTP/2's own. Repeated ones are joined by commas. */
export function metadataOf(headers: IncomingHttpHeaders): Metadata {
  const metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    metadata[name] = typeof value === "string" ? value : value.join(",");
  }
  return metadata;
}

/** Percent-encodes a status message. Source: gRPC core, doc/PROTOCOL-HTTP2.md, Percent-Encoded */
export function encodeGrpcMessage(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Undoes the percent-encoding; invalid parts are kept unchanged. Never throws. */
export function decodeGrpcMessage(text: string): string {
  if (!text.includes("%")) return text;
  const bytes: number[] = [];
  for (let at = 0; at < text.length; at++) {
    const hex = text.charAt(at) === "%" ? /^[0-9a-fA-F]{2}$/.exec(text.slice(at + 1, at + 3)) : null;
    if (hex === null) bytes.push(...Buffer.from(text.charAt(at)));
    else {
      bytes.push(Number.parseInt(hex[0], 16));
      at += 2;
    }
  }
  return Buffer.from(bytes).toString("utf8");
}

const timeoutUnitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/**
 * Reads `grpc-timeout`: up to eight digits and a unit.
 * @returns milliseconds; undefined when the text is not a timeout
 */
export function parseGrpcTimeout(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  const unitMs = timeoutUnitMs[match?.[2] ?? ""];
  return match === null || unitMs === undefined ? undefined : Number(match[1]) * unitMs;
}

/** Writes `grpc-timeout` in the finest unit that holds it, rounded up. */
export function formatGrpcTimeout(ms: number): string {
  const wholeMs = Math.max(1, Math.ceil(ms));
  if (wholeMs < 1e8) return `${String(wholeMs)}m`;
  const seconds = Math.ceil(wholeMs / 1_000);
  return seconds < 1e8 ? `${String(seconds)}S` : `${String(Math.min(99_999_999, Math.ceil(seconds / 3_600)))}H`;
}
