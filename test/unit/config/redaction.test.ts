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
    password: "",
    useToken: "true",
    runtime: { key: "limit", value: 5 },
    enabled: { token: true },
  };
  expect(redactSecrets(value)).toEqual(value);
});
