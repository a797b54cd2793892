// SPDX-License-Identifier: Apache-2.0
import { remembered } from "./remembered.ts";

/** A last word of a name that makes its value secret: `db_pass`, but not `pass_through`. */
const secretLast: ReadonlySet<string> = new Set(
  `pass pwd passcode pin otp creds cred auth authorization authentication cookie cookies hmac jwt jwts bearer signature sig
  salt sas dsn psk csrf xsrf jwk jwks assertion saml`.split(/\s+/),
);

/** Words that may follow the last one: `authorization_header`, `cookie_value`. */
const trailing = /^(?:values?|string|data|header|text|b64|base64|raw|plain|new|old|current|previous|\d{1,9})$/;

/** Within a word too: `mytoken`, `dbpassword`, `authtokens`. */
const secretParts = /token|secret|passw|passphrase|credential|apikey|accesskey|privatekey|authkey|signingkey/;

/** `api_key`, `private_key`: what stands before the word `key`. */
const keyWords: ReadonlySet<string> = new Set(
  `api private secret access account auth client encryption decryption hmac license licence master session shared signing
  ticket tickets json storage service subscription instrumentation ingest ingestion write app application rsa ec tls ssl ssh
  gpg pgp dd datadog crypto aes des server root ca user admin symmetric preshared psk webhook deploy publish`.split(
    /\s+/,
  ),
);

/** The last word of a name that speaks about a secret and has none: `token_file`, `secret_name`. */
const harmlessLast: ReadonlySet<string> = new Set(
  `file files path paths filename dir directory directories type types name names mode ttl ratio jitter policy policies
  provider providers prefix count size bytes duration timeout enabled seconds ms total issuer issuers audience audiences
  algorithm algorithms version required expiry expires interval limit limits status state format`.split(/\s+/),
);

/** Names that look secret and are not, in the form that `wordsOf` joins. */
const harmlessNames: ReadonlySet<string> = new Set(
  `max_tokens tokens_per_fill token_endpoint token_uri from_cookies cookie_names access_key_id client_key_id
  authorization_endpoint authorization_uri auth_endpoint pkcs8_key ca_key_id subject_key_id authority_key_id`.split(
    /\s+/,
  ),
);

/** Members that have no secret of their own, as objects: those within are judged by their own names. */
const harmlessObjects: ReadonlySet<string> = new Set(
  `secret secrets static_secrets dynamic_active_secrets dynamic_warming_secrets tls_certificate_sds_secret_configs
  validation_context_sds_secret_config sds_secret_config token_bucket authorization_request authorization_response cookie
  cookies cookie_configs cookie_names jwt_cache_config credentials channel_credentials call_credentials ssl_credentials
  authentication auth jwt`.split(/\s+/),
);

/** `xApiKey`, `X-API-KEY` and `x.api.key` are one name. */
function wordsOf(name: string): readonly string[] {
  return name
    .slice(0, 200)
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== "");
}

/** Whether the value of a member, variable, header, parameter or tag of this name is a secret. */
export const isSecretName = remembered((name): boolean => {
  const words = wordsOf(name);
  const joined = words.join("_");
  if (harmlessNames.has(joined)) return false;
  if (words.length > 1 && harmlessLast.has(words.at(-1) ?? "")) return false;
  const last = words.findLast((word) => !trailing.test(word)) ?? "";
  if (secretLast.has(last)) return true;
  return words.some((word, index) => {
    if (secretParts.test(word)) return true;
    return (word === "key" || word === "keys") && keyWords.has(words[index - 1] ?? "");
  });
});

/** Whether all that is within a member of this name is secret. */
export const isSecretObject = remembered(
  (name): boolean => isSecretName(name) && !harmlessObjects.has(wordsOf(name).join("_")),
);

const valueWords: ReadonlySet<string> = new Set(
  `value values match literal exact prefix suffix contains regex string bytes default data body text content`.split(
    /\s+/,
  ),
);

/** Whether the value of such a member belongs to the name that stands beside it: `{name, value}`, `{key, string_match}`. */
export const isValueMember = remembered((name): boolean => wordsOf(name).some((word) => valueWords.has(word)));

/** The members that give their siblings a name. */
export const nameMembers: ReadonlySet<string> = new Set([
  "name",
  "key",
  "tag",
  "tag_name",
  "tagName",
  "header",
  "header_name",
  "headerName",
  "descriptor_key",
  "descriptorKey",
  "parameter",
]);

/** Members that may give a name too: it counts only if it is that of a secret. */
export const weakNameMembers: ReadonlySet<string> = new Set([
  "type",
  "id",
  "kind",
  "label",
  "field",
  "title",
  "parameter_name",
]);

/** Paths of mounted secrets say where they are, not what they are. */
export function isPath(text: string): boolean {
  return /^(?:\.{1,2}\/|\/(?:etc|var|run|tmp|home|opt|usr|mnt|secrets?|certs?|vault|srv|dev|proc)\/)[\w./@-]{1,512}$/.test(
    text,
  );
}

/** Values that are no secret, whatever their name. */
export function isHarmlessValue(text: string): boolean {
  return text === "" || /^(?:true|false|null|none|enabled|disabled|default|\[redacted\]|W3JlZGFjdGVkXQ==)$/i.test(text);
}

const harmlessHeader =
  /^(?::(?:path|authority|scheme|method|status)|host|accept|accept-encoding|accept-language|content-type|content-length|cache-control|user-agent|server|via|vary|date|grpc-timeout|te|connection|upgrade|retry-after|location|x-request-id|x-envoy-(?!peer-metadata)[a-z-]+|x-forwarded-(?:for|proto|host|port|client-cert)|x-b3-[a-z]+|traceparent|strict-transport-security|access-control-[a-z-]+|x-content-type-options|x-frame-options)$/i;

/** Headers whose values are kept. */
export function isHarmlessHeader(name: string): boolean {
  return harmlessHeader.test(name);
}
