// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { systemCode } from "../lib/errors.ts";
import { parseJwt } from "../lib/pki/jwt.ts";

/** The bearer token as it is now, or why there is none to send. */
export type Token =
  | { readonly kind: "usable"; readonly text: string }
  | { readonly kind: "unusable"; readonly problem: string; readonly cause?: unknown };

/**
 * Reads the token file and looks at it before anybody else does. A token that is not a JWT is sent as it is.
 * @param nowMs wall clock
 */
export async function readToken(path: string, nowMs: number): Promise<Token> {
  let text: string;
  try {
    text = (await readFile(path, "utf8")).trim();
  } catch (cause) {
    const why = systemCode(cause) === "ENOENT" ? "does not exist; is the token mounted there?" : "cannot be read";
    return { kind: "unusable", problem: `the token file ${path} ${why}`, cause };
  }
  if (text === "") return { kind: "unusable", problem: `the token file ${path} is empty` };
  if (!/^[\x21-\x7e]+$/.test(text)) {
    return { kind: "unusable", problem: `the token file ${path} holds something that is not a token` };
  }
  const expiresMs = parseJwt(text)?.claims.expiresMs;
  if (expiresMs !== undefined && expiresMs <= nowMs) {
    const when = new Date(Math.min(expiresMs, 8.64e15)).toISOString();
    return { kind: "unusable", problem: `the token in ${path} expired at ${when}; it must be renewed` };
  }
  return { kind: "usable", text };
}
