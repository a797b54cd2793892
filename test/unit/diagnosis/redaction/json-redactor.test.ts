// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { JsonRedactor, type JsonRedactorOptions } from "../../../../src/diagnosis/redaction/json-redactor.ts";
import { Removals } from "../../../../src/diagnosis/redaction/removals.ts";
import { fc } from "../../../support/properties.ts";

const secret = "hUnt3r2fox";

function redact(text: string, options: JsonRedactorOptions = {}, cuts: readonly number[] = []): string {
  const redactor = new JsonRedactor(new Removals(), options);
  let output = "";
  let start = 0;
  for (const cut of [...cuts, text.length]) {
    output += redactor.feed(text.slice(start, cut));
    start = cut;
  }
  return output + redactor.end();
}

function redactValue(value: unknown, options?: JsonRedactorOptions): unknown {
  return JSON.parse(redact(JSON.stringify(value), options));
}

test.each([
  ["under a name", { password: secret }],
  ["number under a name", { pin: 82_736_451 }],
  ["deep under a name", { private_key: { a: [{ inline_string: secret }] } }],
  ["in a list under a name", { api_keys: [secret, [secret]] }],
  ["beside its name", { name: "DB_PASSWORD", value: secret }],
  ["before its name", { value: secret, name: "DB_PASSWORD" }],
  ["deep before its name", { string_match: { exact: secret }, name: "x-api-key" }],
  ["of a tag", { tag: "vendor_token", literal: { value: secret } }],
  ["beside a type", { type: "password", value: secret }],
  ["behind an argument", { args: ["--db-password", secret, "--verbose"] }],
  ["as the value of a secret", { secret: { value: secret } }],
  ["as a key of credentials", { credentials: [{ client: "a", key: secret }] }],
  ["in a header that is unknown", { request_headers_to_add: [{ header: { key: "x-any", value: secret } }] }],
  ["in a map of headers", { headers: { "x-any": secret } }],
  ["in initial metadata", { initial_metadata: [{ key: "x-any", value: secret }] }],
  ["in a variable", { environment_variables: { key_values: { ANY: secret } } }],
  ["in proxyMetadata", { proxyMetadata: { ANY: secret } }],
  ["in proxyMetadata as a setting", { settings: [{ name: "proxyMetadata", value: { ANY: secret } }] }],
  ["in a setting", { settings: [{ kind: "variable", name: "ISTIO_META_ANY", value: secret }] }],
  ["in the node's metadata", { node: { metadata: { ANY: { deep: secret } } } }],
  ["in an annotation", { ANNOTATIONS: { "vendor.example/any": secret } }],
  ["as inline text", { body: { inline_string: `hello ${secret}` } }],
  ["as inline bytes", { inline_bytes: Buffer.from(secret).toString("base64") }],
  [
    "as bytes of an unknown type",
    { "@type": "a", value: Buffer.from(`\u0001\u0002${secret}${"x".repeat(40)}`).toString("base64") },
  ],
  ["in JSON in a string", { config: JSON.stringify({ a: [{ password: secret }] }) }],
  ["in YAML in a string", { config: `a: 1\npassword:\n  ${secret}\n` }],
  ["in the format of an access log", { text_format: `%START_TIME% ${secret} %PROTOCOL%` }],
  ["in a name", { [`token=${secret}`]: 1 }],
  ["with escapes", { "pass\u0077ord": secret }],
])("a secret is removed: %s", (_, value) => {
  const text = redact(JSON.stringify(value));
  expect(text).toContain("[redacted]");
  expect(text).not.toMatch(new RegExp(`${secret}|82736451|${Buffer.from(secret).toString("base64").slice(0, -4)}`));
  expect(() => JSON.parse(text) as unknown).not.toThrow();
});

test("a name with escapes is read as what it means", () => {
  expect(redact(`{"pass\\u0077ord":"${secret}"}`)).not.toContain(secret);
});

test("what is no secret is kept as it is", () => {
  const pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  const value = {
    configs: [
      { "@type": "a", version_info: "1", numbers: [1, -2.5e3, 0], flags: [true, false, null], empty: [{}, [], ""] },
    ],
    private_key: { filename: "/etc/certs/key.pem" },
    tls_certificate_sds_secret_configs: [{ name: "default", sds_config: { ads: {} } }],
    secret: { name: "default", trusted_ca: { inline_bytes: Buffer.from(pem).toString("base64") } },
    certificate_chain: { inline_string: pem },
    token_bucket: { max_tokens: 5, tokens_per_fill: 1, fill_interval: "1s" },
    forward_bearer_token: true,
    request_headers_to_add: [{ header: { key: "x-forwarded-proto", value: "https" } }],
    routes: [{ match: { prefix: "/a", headers: [{ name: ":method", string_match: { exact: "GET" } }] }, name: "one" }],
    node: { id: "sidecar~1", metadata: { NAME: "web-0", LABELS: { app: "web" } } },
    ANNOTATIONS: { "prometheus.io/port": "9090" },
    settings: [
      { kind: "variable", name: "CA_ADDR", value: "istiod:15012" },
      { kind: "flag", name: "--concurrency", value: 2 },
    ],
    text_format: '[%START_TIME%] "%REQ(:METHOD)% %PROTOCOL%" %RESPONSE_CODE%\n',
    runtime: { name: "limit", value: 5 },
  };
  expect(redactValue(value)).toEqual(value);
});

test.each(["sidecar-a", "sidecar-b", "dev-web", "crafted"])(
  "of the dump of a proxy, all but header values is kept: %s",
  (name) => {
    const dump: unknown = JSON.parse(readFileSync(`test/fixtures/config-dump/${name}.dump.json`, "utf8"));
    const removals = new Removals();
    const redactor = new JsonRedactor(removals);
    const output = redactor.feed(JSON.stringify(dump)) + redactor.end();
    expect(Object.keys(removals.counts())).toEqual(["header"]);
    expect(removals.total).toBeLessThanOrEqual(2);
    expect(JSON.stringify(JSON.parse(output)).length).toBeGreaterThan(JSON.stringify(dump).length * 0.99);
  },
);

test("a document of the node is redacted by the rules of the node", () => {
  expect(redactValue({ id: "a", metadata: { NAME: "web-0", ANY: "x" } }, { member: "node" })).toEqual({
    id: "a",
    metadata: { NAME: "web-0", ANY: "[redacted]" },
  });
});

const sample = JSON.stringify({
  a: [
    { password: secret, b: '\u00e9\\"\n' },
    { value: `x ${secret}`, list: [1, {}], key: "x-token" },
  ],
  url: `http://u:${secret}@h/p`,
  deep: { private_key: { inline: [secret, 12.5] }, end: null },
});

test("the result does not depend on where the pieces are cut: at every offset", () => {
  const whole = redact(sample);
  expect(whole).not.toContain(secret);
  for (let cut = 0; cut <= sample.length; cut++) expect(redact(sample, {}, [cut])).toBe(whole);
});

test("a document that ends anywhere gives a complete document without the secret", () => {
  for (let end = 1; end < sample.length; end++) {
    const text = redact(sample.slice(0, end));
    expect(() => JSON.parse(text) as unknown, text).not.toThrow();
    expect(text).not.toContain(secret.slice(0, 6));
  }
});

test("a document that reaches the limit is cut between values, and is complete", () => {
  for (const maxLength of [1, 10, 50, 100, 200]) {
    const redactor = new JsonRedactor(new Removals(), { maxLength });
    const text = redactor.feed(sample) + redactor.end();
    expect(() => JSON.parse(text) as unknown, text).not.toThrow();
    expect(redactor.problem).toContain("larger");
  }
});

test.each(["<html>", '{"a" 1}', "[1 2]", '{"a":1]', "{]", "nonsense", '{"a":1}}', "[".repeat(500)])(
  "what is not JSON ends at the point where it is not: %s",
  (text) => {
    const redactor = new JsonRedactor(new Removals());
    redactor.feed(text);
    redactor.end();
    expect(redactor.problem).toBeDefined();
  },
);

test("random documents stay as they are but for secrets, however they are cut", () => {
  const plain = fc.jsonValue({ maxDepth: 4 });
  const names = fc.constantFrom("password", "apiKey", "client_secret", "x-auth-token", "DB_PASSWORD");
  fc.assert(
    fc.property(plain, names, fc.array(fc.nat({ max: 400 }), { maxLength: 5 }), (value, name, cuts) => {
      const text = JSON.stringify({ before: value, inner: [{ [name]: secret }], after: [{ value: secret, name }] });
      const sorted = cuts.filter((cut) => cut < text.length).sort((a, b) => a - b);
      const output = redact(text, {}, sorted);
      expect(output).toBe(redact(text));
      expect(output).not.toContain(secret);
      expect(JSON.parse(output)).toMatchObject({ inner: [{ [name]: "[redacted]" }] });
    }),
    { numRuns: 300 },
  );
});

test("a value that waits for a name is hidden when too much comes in between", () => {
  const long = Object.fromEntries(Array.from({ length: 40_000 }, (_, index) => [`n${String(index)}`, index]));
  const text = redact(JSON.stringify({ value: secret, long, name: "password" }));
  expect(text).not.toContain(secret);
});
