// SPDX-License-Identifier: Apache-2.0
import { describeError, systemCode } from "../../lib/errors.ts";
import { readTextFile } from "../../lib/fs/bounded-read.ts";
import { formatSpan } from "../../lib/relative-time.ts";
import { parseJwt, type TokenClaims } from "../../lib/pki/jwt.ts";

const mostTokenBytes = 64 * 1024;
const printable = /^[\x21-\x7e]+$/;

/** What is in a token's file. The token itself is not kept. */
export type TokenFile =
  | { readonly kind: "absent" }
  | { readonly kind: "unreadable"; readonly problem: string }
  | { readonly kind: "empty" }
  /** Line breaks within it, or bytes that no token has. */
  | { readonly kind: "garbage" }
  | { readonly kind: "opaque" }
  | { readonly kind: "jwt"; readonly claims: TokenClaims };

export async function readTokenFile(path: string): Promise<TokenFile> {
  let text: string;
  try {
    text = (await readTextFile(path, mostTokenBytes)).trim();
  } catch (error) {
    const code = systemCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return { kind: "absent" };
    return { kind: "unreadable", problem: code === "EACCES" ? "permission denied" : describeError(error) };
  }
  if (text === "") return { kind: "empty" };
  if (!printable.test(text)) return { kind: "garbage" };
  const token = parseJwt(text);
  return token === undefined ? { kind: "opaque" } : { kind: "jwt", claims: token.claims };
}

/** Audience, account and validity, for a person. @returns an empty text where there is no token */
export function describeToken(token: TokenFile, nowMs: number): string {
  if (token.kind === "opaque") return "opaque, not a JWT";
  if (token.kind !== "jwt") return "";
  const { audiences, subject, expiresMs } = token.claims;
  const audience = audiences.length === 0 ? "for no audience" : `for the audience ${audiences.join(", ")}`;
  const account = subject === undefined ? "" : `, of ${subject}`;
  return `${audience}${account}${expiresMs === undefined ? "" : `, ${validityText(expiresMs, nowMs)}`}`.slice(0, 400);
}

function validityText(expiresMs: number, nowMs: number): string {
  const span = formatSpan(Math.abs(expiresMs - nowMs));
  return expiresMs > nowMs ? `expires in ${span}` : `expired ${span} ago`;
}
