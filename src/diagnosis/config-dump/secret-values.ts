// SPDX-License-Identifier: Apache-2.0
// Secrets in Envoy's configuration. Envoy itself redacts the fields that its API marks as sensitive; credentials stand
// in headers, in URLs, in the node's metadata and in the configuration of filters too.
import { hasPassword, isSecretName, redacted } from "../../config/redaction.ts";
import { isJsonList, isJsonObject, type JsonObject, type JsonValue, textOf } from "../../lib/json.ts";

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

/** Fields that are secret in one message only: the type of the message ends with this. */
const secretFieldsOf: Readonly<Record<string, string>> = { users: ".BasicAuth", credentials: ".ApiKeyAuth" };

/** Texts within a secret that say where it is or what it is called. */
const plainFields: ReadonlySet<string> = new Set([
  "@type",
  "name",
  "filename",
  "environmentVariable",
  "providerName",
  "sdsConfig",
]);

/** Headers and query parameters that carry credentials. */
const credentialName =
  /^(proxy-)?authorization$|^(set-)?cookie$|(^|[-_.])(token|secret|password|passwd|api[-_]?key|access[-_]?key|auth[-_]?key|signature)$/i;

const otherSecretName =
  /(TOKEN|SECRET|PASSWORDS?|PASSWD|PASSPHRASE|AUTHORIZATION|(API|PRIVATE|SECRET|ACCESS)[-_]?KEY)$/i;

/** A message of Envoy's configuration without secrets. Names must be as in Protobuf's JSON mapping. */
export function redactMessage(message: JsonObject): JsonObject {
  const isGeneric = isJsonObject(message["genericSecret"]);
  const type = textOf(message["@type"]);
  const isCarrier = isCredentialCarrier(message);
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => {
      if (isGeneric && name === "genericSecret") return [name, redactWhole(value)];
      const isOfType = type !== "" && secretFieldsOf[name] !== undefined && type.endsWith(secretFieldsOf[name]);
      const isSecret = isOfType || secretFields.has(name) || isSecretMember(name, value);
      if (isSecret || (isCarrier && carriedValue.test(name))) return [name, redactWhole(value)];
      return [name, redactValue(value)];
    }),
  );
}

function redactValue(value: JsonValue): JsonValue {
  if (typeof value === "string") return redactText(value);
  if (isJsonList(value)) return value.map(redactValue);
  return isJsonObject(value) ? redactMessage(value) : value;
}

/** Whether it is a header, a parameter or a matcher of one that carries a credential. */
function isCredentialCarrier({ key, name, headerName }: JsonObject): boolean {
  return [key, name, headerName].some((value) => typeof value === "string" && credentialName.test(value));
}

/** The members of such a message that have the credential. */
const carriedValue = /value$|match$/i;

/** Fields that the API may get, and names that come from the environment. A dump calls each secret `secret`. */
function isSecretMember(name: string, value: JsonValue): boolean {
  if (typeof value === "string") return isSecretName(name) || otherSecretName.test(name);
  return typeof value === "object" && name !== "secret" && otherSecretName.test(name);
}

/** All texts and numbers of a secret, except those that say where it is. */
function redactWhole(value: JsonValue): JsonValue {
  if (typeof value === "string") return value === "" || value === envoyRedactedBytes ? value : redacted;
  if (typeof value === "number") return redacted;
  if (isJsonList(value)) return value.map(redactWhole);
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, plainFields.has(name) ? redactValue(item) : redactWhole(item)]),
  );
}

/** `[redacted]` as Envoy prints it in fields of bytes. */
const envoyRedactedBytes = "W3JlZGFjdGVkXQ==";

const pemInBase64 = /^LS0tLS1CRUdJTi[A-Za-z0-9+/=]+$/;
const privateKey = /PRIVATE KEY-----/;
/** A signed token: three parts in base64, the first a JSON object. */
const jwt = /\beyJ[\w-]{8,1000}\.[\w-]{8,}\.[\w-]*/g;
const scheme = /\b(Bearer|Basic|Negotiate|ApiKey|AWS4-HMAC-SHA256)\s+[\w.~+/=:-]{6,}/gi;
const urlLogin = /\b([a-z][a-z0-9+.-]{0,30}:\/\/)[^/?#@\s"']+@/gi;
/** `token=...`, `"password": "..."`, as in query strings, in JSON and in scripts. */
const assignment =
  /((?:token|secret|password|passwd|passphrase|api[-_]?key|access[-_]?key|private[-_]?key)\\?["']?\s*[:=]\s*\\?["']?)([^\s"'\\&;,)}]+)/gi;
/** Members of a JSON Web Key that only its owner may know. */
const keyMember = /(\\?"(?:k|d|p|q|dp|dq|qi)\\?"\s*:\s*\\?")[\w+/=-]+/g;

/** What every pattern above needs; most texts of a configuration are names without any of it. */
const suspicious = /[\s:=]|eyJ|^LS0tLS1/;

/** A text without the credentials in it. */
export function redactText(text: string): string {
  if (text.length < 8 || !suspicious.test(text)) return text;
  if (privateKey.test(text) || (pemInBase64.test(text) && privateKey.test(fromBase64(text)))) return redacted;
  if (hasPassword(text)) return text.replace(urlLogin, `$1${redacted}@`);
  const isKeySet = text.includes('"kty') || text.includes('\\"kty');
  return (isKeySet ? text.replaceAll(keyMember, `$1${redacted}`) : text)
    .replaceAll(jwt, redacted)
    .replaceAll(scheme, `$1 ${redacted}`)
    .replaceAll(urlLogin, `$1${redacted}@`)
    .replaceAll(assignment, `$1${redacted}`);
}

function fromBase64(text: string): string {
  return Buffer.from(text, "base64").toString("latin1");
}
