// SPDX-License-Identifier: Apache-2.0
import { type JsonValue, isJsonList, isJsonObject } from "../lib/json.ts";

/** What is shown instead of a secret. */
export const redacted = "[redacted]";

const secretName = /(TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY)$|HEADER_/i;
const plainNames =
  /(_FILE|_PATH|FETCHER_TYPE|_ID|_MODE|IDENTITY_PROVIDER|_TTL|_RATIO|_JITTER)$|^PKCS8_KEY$|^PROXY_CONFIG$/i;

/** Whatever is within a member of such a name is secret: `private_key: {inline_string: ...}`. */
const secretMember = /(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|AUTHORIZATION|(API|PRIVATE|SECRET|ACCESS)[-_]?KEY)$/i;

/**
 * Redacts the members of a document whose names say that they are secret, also as `{key, value}` or `{name, value}`,
 * private keys, and addresses with a password. Paths, booleans and empty texts are kept.
 */
export function redactSecrets(value: JsonValue): JsonValue {
  return redactWithin(value, false);
}

function redactWithin(value: JsonValue, isSecret: boolean): JsonValue {
  if (typeof value === "string") return shownText(value, isSecret);
  if (typeof value === "number" || JSON.isRawJSON(value)) return isSecret ? redacted : value;
  if (isJsonList(value)) return value.map((item) => redactWithin(item, isSecret));
  if (!isJsonObject(value)) return value;
  const { key, name: given } = value;
  const hasSecretValue = [key, given].some((name) => typeof name === "string" && isSecretMember(name));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const isOwn = typeof item === "string" ? isSecretName(name) || isSecretMember(name) : isSecretMember(name);
      return [name, redactWithin(item, isSecret || isOwn || (hasSecretValue && /value$/i.test(name)))];
    }),
  );
}

function isSecretMember(name: string): boolean {
  return secretMember.test(name) && !plainNames.test(name);
}

function shownText(text: string, isSecret: boolean): string {
  if (text.includes("PRIVATE KEY-----") || hasPassword(text)) return redacted;
  return isSecret && !/^\.{0,2}\/|^(true|false)?$/.test(text) ? redacted : text;
}

/** Whether a text is a URL with a user and a password. */
export function hasPassword(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#@]*@/i.test(text);
}

/** Whether the value of a variable or member of this name is redacted. */
export function isSecretName(name: string): boolean {
  return secretName.test(name) && !plainNames.test(name);
}
