// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, parseJsonObject } from "../json.ts";
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";

/** The claims that the agent reads; undefined when absent or of another type. */
export interface TokenClaims {
  readonly issuer: string | undefined;
  readonly subject: string | undefined;
  readonly audiences: readonly string[];
  readonly expiresMs: number | undefined;
  readonly notBeforeMs: number | undefined;
  readonly issuedMs: number | undefined;
}

/** A parsed JWT. Nothing of it is verified. */
export interface ParsedToken {
  readonly algorithm: string | undefined;
  /** Whether its header names extensions that must be understood (`crit`). None are. */
  readonly hasCriticalExtensions: boolean;
  readonly claims: TokenClaims;
  /** The text that the signature covers. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

/**
 * Parses a JWT in its compact form.
 * @returns undefined when the text is not a JWT
 * Source: RFC 7515 section 7.1, RFC 7519 section 4.1
 */
export function parseJwt(text: string): ParsedToken | undefined {
  const parts = text.split(".");
  const [header = "", payload = "", signature = ""] = parts;
  if (parts.length !== 3) return undefined;
  const head = parsePart(header);
  const body = parsePart(payload);
  if (head === undefined || body === undefined) return undefined;
  return {
    algorithm: asText(head["alg"]),
    hasCriticalExtensions: Object.hasOwn(head, "crit"),
    claims: {
      issuer: asText(body["iss"]),
      subject: asText(body["sub"]),
      audiences: [body["aud"]].flat().filter((one) => typeof one === "string"),
      expiresMs: asTimeMs(body["exp"]),
      notBeforeMs: asTimeMs(body["nbf"]),
      issuedMs: asTimeMs(body["iat"]),
    },
    signed: `${header}.${payload}`,
    signature: Buffer.from(signature, "base64url"),
  };
}

/** Which keys the two supported algorithms use. Source: RFC 7518 sections 3.3 and 3.4 */
const keyTypes: Readonly<Record<string, string>> = { RS256: "rsa", ES256: "ec" };

/**
 * A JWT in its compact form, signed with RS256 by an RSA key or with ES256 by an EC P-256 key.
 * @param header more fields of the header, such as `kid`; `alg` and `typ` are set here
 */
export function signJwt(key: KeyObject, claims: object, header: object = {}): string {
  const algorithm = key.asymmetricKeyType === "rsa" ? "RS256" : "ES256";
  const parts = [{ alg: algorithm, ...header, typ: "JWT" }, claims];
  const signed = parts.map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

/** Whether `verifyJwtSignature` supports the algorithm of a token. */
export function isSupportedAlgorithm(algorithm: string | undefined): boolean {
  return algorithm !== undefined && Object.hasOwn(keyTypes, algorithm);
}

/**
 * Whether a key signed the token with the algorithm that its header names: RS256 or ES256. False for a token with
 * critical extensions. Source: RFC 7515 section 4.1.11
 * @param key public, or private
 */
export function verifyJwtSignature(token: ParsedToken, key: KeyObject): boolean {
  if (
    token.hasCriticalExtensions ||
    !isSupportedAlgorithm(token.algorithm) ||
    key.asymmetricKeyType !== keyTypes[token.algorithm ?? ""]
  )
    return false;
  const publicKey = key.type === "private" ? createPublicKey(key) : key;
  return verify("sha256", Buffer.from(token.signed), { key: publicKey, dsaEncoding: "ieee-p1363" }, token.signature);
}

function parsePart(base64url: string): JsonObject | undefined {
  return parseJsonObject(Buffer.from(base64url, "base64url").toString());
}

function asText(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function asTimeMs(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value * 1_000 : undefined;
}
