// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { Removals } from "../../../../src/diagnosis/redaction/removals.ts";
import { redactText } from "../../../../src/diagnosis/redaction/secret-text.ts";

const secret = "hUnt3r2fox";
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pkcs8 = privateKey.export({ type: "pkcs8", format: "pem" });
const sec1 = privateKey.export({ type: "sec1", format: "der" }).toString("base64");
const encrypted = privateKey
  .export({ type: "pkcs8", format: "der", cipher: "aes-256-cbc", passphrase: secret })
  .toString("base64");
const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 }).privateKey.export({ type: "pkcs1", format: "der" });
const jwt = `${base64('{"alg":"RS256"}')}.${base64('{"sub":"a"}')}.c2lnbmF0dXJl`;

function redact(text: string): string {
  return redactText(text, new Removals());
}

test.each([
  `password: ${secret}`,
  `password=${secret}&a=1`,
  `db_password = "${secret} and more"`,
  `passphrase: correct horse ${secret}`,
  `{"password":"${secret}"}`,
  `{"a":"x","apiKey" : "${secret}\\"${secret}"}`,
  `{\\"client_secret\\": \\"${secret}\\"}`,
  `{\\\\\\"token\\\\\\":\\\\\\"${secret}\\\\\\"}`,
  `{'private-key': '${secret}'}`,
  `GET /a?user=b&access_token=${secret}&c=d HTTP/1.1`,
  `url=http%3A%2F%2Fx%3Ftoken%3D${secret}`,
  `tool --token ${secret} --verbose`,
  `tool --secret=${secret}`,
  `VENDOR_API_KEY=${secret}`,
  `x-api-key: ${secret}`,
  `cookie: a=b; session=${secret}; path=/`,
  `authorization: AWS4-HMAC-SHA256 Credential=${secret}, Signature=${secret}`,
  `"authorization", "Bearer ${secret}"`,
  `sent bearer ${secret}`,
  `Bearer%20${secret}`,
  `Proxy-Authorization: Basic ${base64(`user:${secret}`)}`,
  `Basic ${base64(`user:${secret}`)}`,
  `http://user:${secret}@host/path`,
  `http://${secret}@host/path`,
  `redis://:${secret}/x@host:6379`,
  `https%3A%2F%2Fuser%3A${secret}%40host`,
  `connect to app:${secret}@db:5432`,
  `<password>${secret}</password>`,
  `the password is ${secret}, they say`,
  `[("password", "${secret}")]`,
  `{"type":"password","value":"${secret}"}`,
  `token='it''s ${secret}'`,
  `curl -u admin:${secret} http://host`,
  `Authorization: Digest username="a", response="${secret}"`,
  `"x-goog-iap-jwt-assertion": "${secret}"`,
  `map[password:${secret} user:a]`,
  `AccountKey=${secret};EndpointSuffix=core`,
  `htpasswd a:{SHA}${secret}`,
  `htpasswd a:$apr1$salt$${secret}`,
  `{"Authorization":["Bearer ${secret}"]}`,
  `credentials: [a, ${secret}]`,
  `secret: {a: {b: ${secret}}}`,
  `config ${base64(`{"password":"${secret}"}`)}`,
  `twice ${base64(base64(`token=${secret}&`))}`,
  `{"kty":"oct","k":"${secret}${secret}"}`,
])("a secret is removed: %s", (text) => {
  const redacted = redact(text);
  expect(redacted).toContain("[redacted]");
  expect(redacted).not.toContain(secret);
  expect(redacted).not.toContain(base64(`user:${secret}`));
});

test.each([
  ["PEM", pkcs8],
  ["PEM in JSON", JSON.stringify({ a: pkcs8 })],
  ["PEM in JSON in JSON", JSON.stringify({ a: JSON.stringify({ a: pkcs8 }) })],
  ["PEM in a URL", encodeURIComponent(pkcs8)],
  ["PEM in base64", base64(pkcs8)],
  ["PKCS#8 in base64", pkcs8.replaceAll(/-----.*-----|\n/g, "")],
  ["SEC 1 in base64", sec1],
  ["PKCS#1 in base64", rsa.toString("base64")],
  ["encrypted PKCS#8 in base64", encrypted],
  ["PEM that does not end", pkcs8.slice(0, 100)],
])("a private key is removed: %s", (_, text) => {
  const body = text.slice(60, 90);
  const redacted = redact(`before ${text} after`);
  expect(redacted).toContain("before ");
  expect(redacted).not.toContain(body);
});

test.each([
  jwt,
  `${base64('{ "typ": "JWT" }')}.${base64("{}")}aaaa.x`,
  "AKIAIOSFODNN7EXAMPLE",
  `ghp_${"a1".repeat(18)}`,
  `hvs.${"Aa1".repeat(12)}`,
  `xoxb-${"1a".repeat(10)}`,
  `AIza${"aB3-5".repeat(7)}`,
])("a token is removed by its form: %s", (token) => {
  expect(redact(`got ${token} today`)).toBe("got [redacted] today");
});

test.each([
  "fetch token: connection refused",
  "read var/run/secrets/tokens/istio-token: ENOENT: no such file or directory",
  "token: ENOENT: no such file or directory",
  "the bearer token is missing",
  "token=/var/run/secrets/tokens/istio-token",
  'WWW-Authenticate: Bearer realm="x"',
  "outbound|9080|v1|token-service.default.svc.cluster.local",
  "spiffe://cluster.local/ns/demo/sa/web",
  '"token_bucket":{"max_tokens":5,"tokens_per_fill":5}',
  "http://localhost:15000/config_dump?mail=a@b",
  "sidecar~10.0.0.1~web-0.demo~demo.svc.cluster.local",
  "registry:5000/istio/proxyv2:1.2@sha256:0123456789abcdef0123456789abcdef",
  'use_token: true, password: ""',
  "fe80::1%eth0 2001:db8::1",
  "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIQ\n-----END CERTIFICATE-----\n",
  base64("a text of which nothing is a secret, in base64"),
  "someone@example.com",
])("what is no secret is kept: %s", (text) => {
  expect(redact(text)).toBe(text);
});

test("removals are counted by kind, and secrets found by name are reported, not shown", () => {
  const learned: string[] = [];
  const removals = new Removals((one) => learned.push(one));
  redactText(`password=${secret} Bearer abcdef123 http://u:p@h ${jwt}`, removals);
  expect(removals.counts()).toEqual({ authorization: 1, "secret-name": 1, token: 1, "url-credentials": 1 });
  expect(removals.total).toBe(4);
  expect(learned).toEqual([secret, "abcdef123"]);
});

test.each([
  ["colons", ":".repeat(100_000)],
  ["names", "password".repeat(20_000)],
  ["quotes", 'password:"'.repeat(10_000)],
  ["at signs", "a:b@".repeat(20_000)],
  ["begins of keys", "-----BEGIN PRIVATE KEY".repeat(5_000)],
  ["schemes", "://".repeat(30_000)],
  ["tokens", "eyJ".repeat(30_000)],
  ["backslashes", "\\".repeat(100_000)],
  ["brackets", "token:[".repeat(10_000)],
])("a long text of %s takes little time", (_, text) => {
  const startMs = performance.now();
  redact(text);
  expect(performance.now() - startMs).toBeLessThan(2_000);
});
