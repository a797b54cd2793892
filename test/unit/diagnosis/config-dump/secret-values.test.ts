// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { listSecrets } from "../../../../src/diagnosis/config-dump/endpoint-listings.ts";
import {
  listBootstrap,
  listClusters,
  listListeners,
  listRoutes,
} from "../../../../src/diagnosis/config-dump/listings.ts";
import { camelCase, camelCaseMessage } from "../../../../src/diagnosis/config-dump/proto-json.ts";
import { redactMessage, redactText } from "../../../../src/diagnosis/config-dump/secret-values.ts";
import type { JsonObject } from "../../../../src/lib/json.ts";
import { listingOptions, recordedNames, readProtos, recordedSource, sourceOf } from "./dump-fixtures.ts";

/** No output may have it. */
const canary = "k7hunter2canary9XzQ";
const inBase64 = Buffer.from(`-----BEGIN EC PRIVATE KEY-----\n${canary}\n-----END EC PRIVATE KEY-----\n`).toString(
  "base64",
);
const token = `eyJhbGciOiJFUzI1NiJ9.${Buffer.from(JSON.stringify({ sub: canary })).toString("base64url")}.c2lnbmF0dXJl`;
const login = Buffer.from(`user:${canary}`).toString("base64");

/** A secret in each place where Envoy's API has one, as a program would print it that does not redact. */
const places: readonly (readonly [string, JsonObject])[] = [
  ["key of a TLS certificate", { tls_certificate: { private_key: { inline_string: canary } } }],
  ["key in bytes", { tls_certificate: { private_key: { inline_bytes: inBase64 } } }],
  ["password of a key", { tls_certificate: { password: { inline_string: canary } } }],
  ["PKCS12", { tls_certificate: { pkcs12: { inline_bytes: canary } } }],
  ["key provider", { tls_certificate: { private_key_provider: { typed_config: { "@type": "x/y", key: canary } } } }],
  ["session ticket", { session_ticket_keys: { keys: [{ inline_bytes: canary }] } }],
  ["generic secret", { generic_secret: { secret: { inline_string: canary } } }],
  ["map of generic secrets", { generic_secret: { secrets: { any_name: { inline_bytes: canary } } } }],
  ["key where none belongs", { certificate_chain: { inline_bytes: inBase64 } }],
  ["header that is added", { request_headers_to_add: [{ header: { key: "authorization", value: `Basic ${login}` } }] }],
  ["cookie that is added", { response_headers_to_add: [{ header: { key: "Set-Cookie", value: `id=${canary}` } }] }],
  ["header in bytes", { header: { key: "x-api-key", raw_value: canary } }],
  ["header that is matched", { headers: [{ name: "Authorization", string_match: { exact: canary } }] }],
  ["header with another name", { header: { key: "x-anything", value: `Bearer ${canary}` } }],
  ["metadata of a gRPC service", { initial_metadata: [{ key: "x-auth-token", value: canary }] }],
  ["token in a text", { inline_string: `curl -H 'x: y' https://a.example/?access_token=${canary}&b=c` }],
  ["signed token", { anything: `Give ${token} to nobody` }],
  ["login in a URL", { uri: `https://user:${canary}@a.example/` }],
  ["login in a URL in a text", { inline_code: `local u = "https://user:${canary}@a.example/"` }],
  ["node's metadata", { node: { metadata: { MY_TOKEN: canary, DB_PASSWORD: canary, app_password: canary } } }],
  [
    "configuration of a Wasm module",
    { configuration: { "@type": "x/google.protobuf.StringValue", value: `{"password": "${canary}"}` } },
  ],
  [
    "users",
    {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuth",
      users: { inline_string: `u:{SHA}${canary}` },
    },
  ],
  ["OAuth", { credentials: { client_id: "me", token_secret: { name: "t" }, hmac_secret: { inline_string: canary } } }],
  ["AWS", { aws_lambda: { credentials: { access_key_id: canary, secret_access_key: canary, session_token: canary } } }],
  ["JSON Web Key", { local_jwks: { inline_string: `{"keys":[{"kty":"oct","k":"${canary}"}]}` } }],
  ["login and parameter in one URL", { uri: `https://user:x1@a.example/?token=${canary}` }],
  ["login without a scheme", { anything: `dial app:${canary}@db:5432` }],
  ["header that a script adds", { inline_code: `handle:headers():add("authorization", "${canary}")` }],
  ["token of a known issuer", { anything: `ghp_${canary}${canary}` }],
  ["parameter with a short name", { path_redirect: `/login?auth=${canary}&sig=${canary}` }],
  ["document in base64", { inline_bytes: Buffer.from(`{"password": "${canary}"}`).toString("base64") }],
  ["symmetric key in bytes", { inline_bytes: Buffer.from(`{"kty":"oct","k":"${canary}00"}`).toString("base64") }],
  ["header of a vendor", { header: { key: "x-vendor-auth", value: canary } }],
  ["header that is matched by a pattern", { name: "x-apikey", string_match: { safe_regex: { regex: canary } } }],
  ["tag of statistics", { stats_tags: [{ tag_name: "vendor_api_key", fixed_value: canary }] }],
  ["cookie", { cookie: { name: "x", value: canary } }],
  ["member of an extension", { value: { "client-key": canary, pass: canary, signingKey: canary } }],
  ["credentials of Google", { call_credentials: [{ service_account_jwt_access: { json_key: canary } }] }],
  [
    "users of one route",
    {
      "@type": "type.googleapis.com/envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute",
      users: { inline_string: `u:${canary}` },
    },
  ],
  [
    "keys of clients, in a TypedStruct",
    {
      "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
      type_url: "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
      value: { credentials: [{ key: canary, client: "c" }] },
    },
  ],
  ["Redis", { auth_password: { inline_string: canary } }],
];

test.each(places)("a secret is redacted: %s", (_place, message) => {
  const shown = JSON.stringify(redactMessage(camelCaseMessage(message)));
  expect(shown).not.toContain(canary);
  expect(shown).not.toContain(login);
  expect(shown).not.toContain(inBase64.slice(0, 60));
  expect(shown).toMatch(/\[redacted\]/);
});

test.each(places)("no listing of a dump shows it: %s", async (_place, message) => {
  const wrap = (type: string, field: string, member: string): JsonObject => ({
    "@type": `type.googleapis.com/envoy.admin.v3.${type}`,
    [field]: [{ [member]: { name: "n", ...message } }],
  });
  const source = sourceOf({
    configs: [
      { "@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", bootstrap: message },
      wrap("ClustersConfigDump", "dynamic_active_clusters", "cluster"),
      wrap("ListenersConfigDump", "static_listeners", "listener"),
      wrap("RoutesConfigDump", "dynamic_route_configs", "route_config"),
      wrap("SecretsConfigDump", "dynamic_active_secrets", "secret"),
    ],
  });
  for (const list of [listBootstrap, listClusters, listListeners, listRoutes, listSecrets]) {
    const { rows, document, items } = await list(source, listingOptions());
    const printed = JSON.stringify([rows, document, [...items]]);
    expect(printed).not.toContain(canary);
    expect(printed).not.toContain(login);
  }
});

test("what is no secret stays: certificates, names of secrets, keys of maps, hashes and paths", async () => {
  const message = {
    tokenSecret: { name: "oauth-token", sdsConfig: { ads: {} } },
    tlsCertificate: { privateKey: { filename: "/etc/certs/key.pem" } },
    hashPolicy: [{ header: { headerName: "x-user" } }],
    extensions: [{ name: "envoy.formatter.generic_secret", category: "envoy.formatter" }],
    routes: [{ name: "web-auth", match: { prefix: "/" }, route: { cluster: "outbound|80||token.demo.svc" } }],
    providers: { "my-auth": { issuer: "https://a.example", audiences: ["x"] } },
    remoteJwks: { httpUri: { uri: "https://a.example/keys" } },
    retriableHeaders: [{ name: "x-retry", presentMatch: true }],
    node: { metadata: { TOKEN_FILE: "/var/run/token", PKCS8_KEY: "true" } },
  };
  expect(redactMessage(message)).toEqual(message);
  for (const text of ["Basic", "token: none of it"]) expect(redactText(text)).toContain(text.split(" ")[0]);
  for (const name of recordedNames) {
    const { document } = await listBootstrap(recordedSource(name), listingOptions());
    expect(JSON.stringify(document)).not.toContain("[redacted]");
  }
});

/** Names that are secret in one message only; the places above have them. */
const inOneMessage = new Set(["keys", "secret", "typedConfig", "users"]);

test("every field that Envoy's API marks as sensitive is redacted, whoever printed it", () => {
  const marked = readProtos(["envoy-api/envoy/config", "envoy-api/envoy/extensions"]).flatMap((text) =>
    Array.from(text.matchAll(/(\w+)\s*=\s*\d+\s*\[[^\]]*sensitive\)\s*=\s*true/g), ([, name = ""]) => camelCase(name)),
  );
  expect(marked.length).toBeGreaterThan(12);
  for (const name of marked.filter((one) => !inOneMessage.has(one))) {
    for (const value of [canary, { inlineString: canary }, [{ inlineBytes: canary }], { anything: canary }]) {
      expect(JSON.stringify(redactMessage({ [name]: value })), name).not.toContain(canary);
    }
  }
});

test("a long text of a control plane takes little time, whatever it is made of", () => {
  for (const part of ["a.", "eyJ-", "eyJaaaaaaaa.", "a://", "token=", "Basic ", '"k":"kty', "user:a@"]) {
    const text = `${part.repeat(400_000 / part.length)} x:`;
    const startMs = performance.now();
    redactText(text);
    expect(performance.now() - startMs, part).toBeLessThan(2_000);
  }
});
