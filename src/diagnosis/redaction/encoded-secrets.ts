// SPDX-License-Identifier: Apache-2.0
import type { FoundSecret } from "./found-secret.ts";

const begin = "-----BEGIN";

/** PEM blocks of private keys, also escaped or URL-encoded. One that does not end reaches to the end of the text. */
export function* findPrivateKeys(text: string): Generator<FoundSecret> {
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const label = /^[A-Z0-9 %+_-]{0,80}/.exec(text.slice(at + begin.length, at + begin.length + 80))?.[0] ?? "";
    if (!/PRIVATE(?: |%20|\+)KEY/.test(label)) {
      at += begin.length;
      continue;
    }
    const footer = text.indexOf("-----END", at);
    const dashes = footer < 0 ? -1 : text.indexOf("-----", footer + "-----END".length);
    const end = dashes < 0 ? text.length : dashes + "-----".length;
    yield { start: at, end, kind: "private-key" };
    at = end;
  }
}

/** Longer runs of base64 are removed unread. */
const mostDecoded = 256 * 1024;

/**
 * Runs of base64 that hold a private key, or a text with a secret.
 * @param isSecretText whether a decoded text has a secret
 */
export function* findEncoded(text: string, isSecretText: (decoded: string) => boolean): Generator<FoundSecret> {
  for (const { 0: run, index } of text.matchAll(/[A-Za-z0-9+/_-]{20,}={0,2}/g)) {
    // of an escaped line break, the letter is no part of the run
    const skipped = text[index - 1] === "\\" ? 1 : 0;
    const start = index + skipped;
    const end = index + run.length;
    if (run.length > mostDecoded) {
      yield { start, end, kind: "too-long" };
      continue;
    }
    const decoded = Buffer.from(run.slice(skipped), "base64");
    if (isPrivateKeyDer(decoded)) yield { start, end, kind: "private-key" };
    else if (isText(decoded) && isSecretText(decoded.toString("latin1"))) yield { start, end, kind: "token" };
  }
}

/** Whether inline bytes of a configuration are certificates, public keys or revocation lists, and nothing else. */
export function isPublicPem(text: string): boolean {
  let rest = text;
  let blocks = 0;
  for (let at = rest.indexOf(begin); at >= 0; at = rest.indexOf(begin)) {
    const block =
      /^-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE|PUBLIC KEY|X509 CRL)-----[A-Za-z0-9+/=\s]*-----END \1-----/.exec(
        rest.slice(at),
      );
    if (block === null || rest.slice(0, at).trim() !== "") return false;
    rest = rest.slice(at + block[0].length);
    blocks++;
  }
  return blocks > 0 && rest.trim() === "";
}

/**
 * The beginning of a private key: PKCS#8, PKCS#1, SEC 1 or encrypted PKCS#8.
 * Source: RFC 5958 section 2 and 3, RFC 8017 appendix A.1.2, RFC 5915 section 3
 */
export function isPrivateKeyDer(bytes: Uint8Array): boolean {
  const inner = contentOf(bytes, 0, 0x30);
  if (inner === undefined) return false;
  // a version, then an algorithm, a modulus or the key itself
  if (bytes[inner] === 0x02) {
    const length = bytes[inner + 1];
    const next = bytes[inner + 3];
    return length === 1 && (bytes[inner + 2] ?? 9) <= 1 && (next === 0x30 || next === 0x02 || next === 0x04);
  }
  const algorithm = contentOf(bytes, inner, 0x30);
  // 1.2.840.113549.1.5 and .12.1: encryption with a password
  const passwordBased = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01];
  if (algorithm === undefined || bytes[algorithm] !== 0x06) return false;
  const oid = bytes.subarray(algorithm + 2, algorithm + 2 + passwordBased.length);
  const arc = bytes[algorithm + 2 + passwordBased.length];
  return passwordBased.every((byte, index) => oid[index] === byte) && (arc === 0x05 || arc === 0x0c);
}

/** The index of the content of an element that begins at `at`; undefined when it has another tag. */
function contentOf(bytes: Uint8Array, at: number, tag: number): number | undefined {
  const length = bytes[at + 1];
  if (bytes[at] !== tag || length === undefined) return undefined;
  return at + 2 + (length < 0x80 ? 0 : length & 0x7f);
}

function isText(bytes: Uint8Array): boolean {
  if (bytes.length === 0) return false;
  let strange = 0;
  for (const byte of bytes) {
    if (byte < 0x09 || (byte > 0x0d && byte < 0x20) || byte === 0x7f) strange++;
  }
  return strange * 10 < bytes.length;
}
