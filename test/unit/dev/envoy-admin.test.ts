// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseCertificatesPage } from "../../../src/dev/envoy-admin.ts";

const leaf = {
  path: "<inline>",
  serial_number: "4f0a",
  subject_alt_names: [{ dns: "web" }, { uri: "spiffe://cluster.local/ns/demo/sa/web" }],
  days_until_expiration: "0",
  valid_from: "2026-01-01T00:00:00Z",
  expiration_time: "2026-01-01T01:00:00Z",
};

test("the leaf of each chain is read once, however many TLS contexts use it", () => {
  const entry = { ca_cert: [], cert_chain: [leaf, { serial_number: "01", subject_alt_names: [] }] };
  expect(parseCertificatesPage(JSON.stringify({ certificates: [entry, entry] }))).toEqual([
    { spiffeId: "spiffe://cluster.local/ns/demo/sa/web", serial: "4f0a", notAfter: "2026-01-01T01:00:00Z" },
  ]);
});

test("a response without certificates, or of another shape, has none", () => {
  for (const text of [
    '{"certificates":[]}',
    '{"certificates":[{}]}',
    "[]",
    "null",
    '{"certificates":[{"cert_chain":[]}]}',
  ]) {
    expect(parseCertificatesPage(text)).toEqual([]);
  }
});
