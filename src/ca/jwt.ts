// SPDX-License-Identifier: Apache-2.0

/** The claims of a token that anyone here looks at; undefined when absent or of another type. */
export interface TokenClaims {
  readonly subject: string | undefined;
  readonly audiences: readonly string[];
  readonly expiresMs: number | undefined;
  readonly notBeforeMs: number | undefined;
}

/** A JWT taken apart; nothing of it was verified. */
export interface ParsedToken {
  readonly algorithm: string | undefined;
  readonly claims: TokenClaims;
  /** What the signature is over. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

/**
 * Takes a JWT in its compact form apart.
 * @returns undefined when the text is not a JWT
 * Source: RFC 7515 section 7.1, RFC 7519 section 4.1
 */
export function parseJwt(text: string): ParsedToken | undefined {
  const parts = text.split(".");
  const [header = "", payload = "", signature = ""] = parts;
  if (parts.length !== 3) return undefined;
  const head = parseObject(header);
  const body = parseObject(payload);
  if (head === undefined || body === undefined) return undefined;
  return {
    algorithm: asText(head["alg"]),
    claims: {
      subject: asText(body["sub"]),
      audiences: [body["aud"]].flat().filter((one) => typeof one === "string"),
      expiresMs: asTimeMs(body["exp"]),
      notBeforeMs: asTimeMs(body["nbf"]),
    },
    signed: `${header}.${payload}`,
    signature: Buffer.from(signature, "base64url"),
  };
}

function parseObject(base64url: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64url, "base64url").toString());
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function asTimeMs(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value * 1_000 : undefined;
}
