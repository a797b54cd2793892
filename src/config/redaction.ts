// SPDX-License-Identifier: Apache-2.0
import { type JsonValue, isJsonList, isJsonObject } from "../lib/json.ts";

/** What is shown instead of a secret. */
export const redacted = "[redacted]";

const secretName = /(TOKEN|SECRET|PASSWORD|CREDENTIAL|_KEY)$|HEADER_/i;
const plainNames =
  /(_FILE|_PATH|FETCHER_TYPE|_ID|_MODE|IDENTITY_PROVIDER|_TTL|_RATIO|_JITTER)$|^PKCS8_KEY$|^PROXY_CONFIG$/i;

/** Redacts the members of a document whose names say that they are secret. Paths, booleans and empty texts are kept. */
export function redactSecrets(value: JsonValue): JsonValue {
  if (isJsonList(value)) return value.map(redactSecrets);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      typeof item === "string" ? shownMember(name, item) : redactSecrets(item),
    ]),
  );
}

function shownMember(name: string, text: string): string {
  if (/^\.{0,2}\/|^(true|false)?$/.test(text)) return text;
  return isSecretName(name) ? redacted : text;
}

/** Whether the value of a variable or member of this name is redacted. */
export function isSecretName(name: string): boolean {
  return secretName.test(name) && !plainNames.test(name);
}
