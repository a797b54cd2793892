// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";

/** Blocks the event loop for a fifth of a millisecond; 20 MB at once would block it for 15 to 20 ms. */
const pieceBytes = 256 * 1024;

/** SHA-256 in hex. The event loop runs between pieces, for large content. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const hash = createHash("sha256");
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    if (at > 0) await new Promise((resolve) => setImmediate(resolve));
    hash.update(bytes.subarray(at, at + pieceBytes));
  }
  return hash.digest("hex");
}

/** The first `digits` hex digits of the SHA-256, at once: for short texts and for names made of them. */
export function shortHash(content: string | Uint8Array, digits: number): string {
  return createHash("sha256").update(content).digest("hex").slice(0, digits);
}
