// SPDX-License-Identifier: Apache-2.0
import { type JsonValue, isJsonList, isJsonObject, tryParseJson } from "../lib/json.ts";

/** What is shown instead of a secret. */
export const redacted = "[redacted]";

const secretName = /(TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY|[-_]PWD|COOKIE)S?$|((^|[-_])(PASS|AUTH))$|HEADER_/i;
const plainNames =
  /(_FILE|_PATH|FETCHER_TYPE|_ID|_MODE|IDENTITY_PROVIDER|_TTL|_RATIO|_JITTER)$|^(PKCS8_KEY|ATTACHE_VAULT_AUTH)$|^PROXY_CONFIG$/i;

/** Whatever is within a member of such a name is secret: `private_key: {inline_string: ...}`. */
const secretMember =
  /(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|AUTHORIZATION|COOKIE|[-_](AUTH|PASS)|^PASS|(API|PRIVATE|SECRET|ACCESS)[-_]?KEY)$/i;

/** `token=`, `Password=` in query strings and in texts for connections. */
const parameter =
  /((?:^|[?&;\s"'])[\w.-]{0,40}(?:token|secret|password|passwd|pwd|api[-_]?key|access[-_]?key|credential)=)[^&;\s"']+/gi;

/** Where files are: a secret in base64 may begin with a slash too. */
const path = /^(?:\.{1,2}\/|\/(?:etc|var|run|tmp|home|opt|usr|mnt|srv|dev|proc)\/|(?:\/[a-z][a-z._-]*){2,}$)/;

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
  if (isSecret && !path.test(text) && !/^(true|false)?$/.test(text)) return redacted;
  return redactText(text);
}

/** A text of any name: a document is redacted as one, and of other texts what has the form of a secret. */
export function redactText(text: string): string {
  if (text.includes("PRIVATE KEY-----") || hasPassword(text)) return redacted;
  const document = /^\s{0,9}[{[]/.test(text) ? tryParseJson(text) : undefined;
  if (isJsonObject(document) || isJsonList(document)) {
    const shown = JSON.stringify(redactSecrets(document));
    return shown === JSON.stringify(document) ? text : shown;
  }
  return text.includes("=") ? text.replaceAll(parameter, `$1${redacted}`) : text;
}

/** Whether a text is a URL with a user and a password. A password may have slashes; a port has none. */
export function hasPassword(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@|[^/?#@:]*:(?!\d{1,5}(?:[/?#]|$))[^\s?#@]*@)/i.test(text);
}

/** Whether the value of a variable or member of this name is redacted. */
export function isSecretName(name: string): boolean {
  return secretName.test(name) && !plainNames.test(name);
}
