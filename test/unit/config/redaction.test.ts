// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { redactSecrets } from "../../../src/config/redaction.ts";

test.each([
  ["a proxy with a password", { HTTP_PROXY: "http://user:s3cret@proxy:3128" }],
  ["an address with a token", { address: "redis://s3cret@db/0" }],
  ["a private key in a part of a bootstrap", { private_key: { inline_string: "s3cret" } }],
  ["a private key under any name", { text: "-----BEGIN RSA PRIVATE KEY-----\ns3cret" }],
  ["a password in camel case", { dbPassword: "s3cret" }],
  ["a password in a list", { password: ["s3cret"] }],
  ["a numeric password", { password: 53_7237 }],
  ["a key of an API", { "x-api-key": "s3cret" }],
  ["a header by key and value", { header: { key: "Authorization", value: "Bearer s3cret" } }],
  ["a header with raw bytes", { key: "x-api-key", raw_value: "s3cret" }],
  ["a secret in base64 that looks like a path", { API_TOKEN: "/s3cret/x1" }],
  ["a password by its short name", { VENDOR_PASS: "s3cret" }],
  ["a password with slashes in a URL", { DSN: "postgres://user:a/s3cret/b@db/x" }],
  ["a parameter of a URL", { url: "https://a.example/?x=1&access_token=s3cret" }],
  ["a parameter of a connection", { text: "Server=db;Password=s3cret;Timeout=5" }],
  ["a member of a document in a text", { SETTINGS: '{"nested": [{"password": "s3cret"}]}' }],
  ["a header of a probe", { PROBERS: '{"/x": {"httpHeaders": [{"name": "X-Probe-Auth", "value": "s3cret"}]}}' }],
  ["a variable by name and value", [{ name: "DB_PASSWORD", value: "s3cret" }]],
])("%s is redacted", (_, value) => {
  const text = JSON.stringify(redactSecrets(value));
  expect(text).toContain("[redacted]");
  expect(text).not.toMatch(/s3cret|537237/);
});

test("what is no secret is shown", () => {
  const value = {
    private_key: { filename: "/etc/certs/key.pem" },
    CREDENTIAL_FETCHER_TYPE: "GoogleComputeEngine",
    address: "http://proxy:3128/a@b",
    mail: "someone@example.com",
    TOKEN: "/var/run/secrets/tokens/istio-token",
    SECRET: "./etc/certs/key.pem",
    other_key: "/mounted/certs/key.pem",
    document: '{ "a": "b=c" }',
    query: "https://a.example/?x=1&page_token_size=5",
    password: "",
    useToken: "true",
    runtime: { key: "limit", value: 5 },
    enabled: { token: true },
  };
  expect(redactSecrets(value)).toEqual(value);
});
