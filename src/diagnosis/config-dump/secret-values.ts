// SPDX-License-Identifier: Apache-2.0
// Secrets in Envoy's configuration. Envoy itself redacts the fields that its API marks as sensitive; credentials stand
// in headers, in URLs, in the node's metadata and in the configuration of filters too.
import { redacted } from "../../config/redaction.ts";
import { isJsonList, isJsonObject, type JsonObject, type JsonValue, textOf } from "../../lib/json.ts";
import { Removals } from "../redaction/removals.ts";
import { isSecretName, isSecretObject } from "../redaction/secret-names.ts";
import { redactText as redactForms } from "../redaction/secret-text.ts";

/** Fields that are secret in every message of Envoy's API, names as in JSON. */
const secretFields: ReadonlySet<string> = new Set([
  "accessKeyId",
  "apiKey",
  "authUsername",
  "clientSecret",
  "contextExtensions",
  "credential",
  "downstreamAuthUsername",
  "hmacSecret",
  "password",
  "pkcs12",
  "privateKey",
  "privateKeyProvider",
  "secretAccessKey",
  "secretData",
  "sessionTicketKeys",
  "sessionToken",
  "tokenSecret",
]);

/** Fields that are secret in messages of these names only. */
const secretFieldsOf: Readonly<Record<string, RegExp>> = {
  users: /\.BasicAuth(PerRoute)?$/,
  credentials: /\.ApiKeyAuth(PerRoute)?$/,
};

/** Texts within a secret that say where it is or what it is called. */
const plainFields: ReadonlySet<string> = new Set([
  "@type",
  "name",
  "filename",
  "environmentVariable",
  "providerName",
  "sdsConfig",
]);

/** Where a message stands. */
interface Place {
  /** The field that it is the value of, or an item of. */
  readonly field: string;
  /** The type that the message around it says it has: that of a TypedStruct. */
  readonly type: string;
}

const top: Place = { field: "", type: "" };

/** A message of Envoy's configuration without secrets. Names must be as in Protobuf's JSON mapping. */
export function redactMessage(message: JsonObject): JsonObject {
  return redactMembers(message, top);
}

function redactMembers(message: JsonObject, place: Place): JsonObject {
  const isGeneric = isJsonObject(message["genericSecret"]);
  const type = place.type === "" ? textOf(message["@type"]) : place.type;
  const innerType = type.endsWith(".TypedStruct") ? textOf(message["typeUrl"]) : "";
  const isCarrier = isCredentialCarrier(message) || isSecretName(place.field);
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => {
      if (isGeneric && name === "genericSecret") return [name, redactWhole(value)];
      const isOfType = type !== "" && secretFieldsOf[name]?.test(type) === true;
      const isSecret = isOfType || secretFields.has(name) || isSecretMember(name, value);
      if (isSecret || (isCarrier && carriedValue.test(name))) return [name, redactWhole(value)];
      return [name, redactValue(value, { field: name, type: name === "value" ? innerType : "" })];
    }),
  );
}

function redactValue(value: JsonValue, place: Place): JsonValue {
  if (typeof value === "string") return redactText(value);
  if (isJsonList(value)) return value.map((item) => redactValue(item, place));
  return isJsonObject(value) ? redactMembers(value, place) : value;
}

/** Whether it is a header, a parameter, a tag or a matcher of one that carries a credential. */
function isCredentialCarrier({ key, name, headerName, tagName }: JsonObject): boolean {
  return [key, name, headerName, tagName].some((value) => typeof value === "string" && isSecretName(value));
}

/** The members of such a message that have the credential. That of a route called `auth` is its `match`. */
const carriedValue = /value$|[a-z]Match$/i;

/**
 * Objects whose texts are judged one by one: a dump calls each secret `secret`, SDS settings say where one is, and keys of maps
 * are chosen by people, such as the provider `my-auth`.
 */
const withoutOwnSecret = /^secrets?$|SdsSecretConfigs?$|^(local|remote)Jwks$|auth$|jwt$/i;

/** Fields that the API may get, and names that come from the environment or from configurations of extensions. */
function isSecretMember(name: string, value: JsonValue): boolean {
  if (typeof value === "string" || typeof value === "number") return isSecretName(name);
  return typeof value === "object" && !withoutOwnSecret.test(name) && isSecretObject(name);
}

/** All texts and numbers of a secret, except those that say where it is. */
function redactWhole(value: JsonValue): JsonValue {
  if (typeof value === "string") return value === "" || value === envoyRedactedBytes ? value : redacted;
  if (typeof value === "number") return redacted;
  if (isJsonList(value)) return value.map(redactWhole);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      plainFields.has(name) ? redactValue(item, top) : redactWhole(item),
    ]),
  );
}

/** `[redacted]` as Envoy prints it in fields of bytes. */
const envoyRedactedBytes = "W3JlZGFjdGVkXQ==";

/** Members of a JSON Web Key that only its owner may know. */
const keyMember = /(\\?"(?:k|d|p|q|dp|dq|qi)\\?"\s*:\s*\\?")[\w+/=-]+/g;

/** A text without the credentials in it: keys, tokens, logins in URLs, and what stands behind the name of a secret. */
export function redactText(text: string): string {
  const isKeySet = text.includes('"kty') || text.includes('\\"kty');
  return redactForms(isKeySet ? text.replaceAll(keyMember, `$1${redacted}`) : text, new Removals());
}
