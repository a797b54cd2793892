// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseCertificates, parseServerInfo } from "../../../src/envoy/admin-answers.ts";
import { drainPath, endsAfterDrain } from "../../../src/envoy/admin-client.ts";
import { EnvoyAdminError } from "../../../src/envoy/envoy-errors.ts";

test("the server's version, state and epoch are read", () => {
  const text = JSON.stringify({
    version: "9e55/1.40.0/Clean/RELEASE/BoringSSL",
    state: "LIVE",
    command_line_options: { restart_epoch: 2 },
  });
  expect(parseServerInfo(text)).toEqual({ version: "1.40.0", state: "LIVE", restartEpoch: 2 });
});

test("a version of a development build keeps its suffix", () => {
  expect(parseServerInfo('{"version":"9e55/1.41.0-dev/Modified/DEBUG/BoringSSL"}').version).toBe("1.41.0-dev");
});

test("an answer of another form is empty facts; one that is no JSON is an error", () => {
  expect(parseServerInfo("[]")).toEqual({ version: "", state: "", restartEpoch: 0 });
  expect(() => parseServerInfo("<html>")).toThrow(EnvoyAdminError);
  expect(() => parseCertificates("")).toThrow(EnvoyAdminError);
});

test("loaded certificates are read, serials in upper case", () => {
  const text = JSON.stringify({
    certificates: [
      {
        ca_cert: [{ serial_number: "0a", subject_alt_names: [], expiration_time: "2026-11-22T00:00:00Z" }],
        cert_chain: [
          {
            serial_number: "beef",
            subject_alt_names: [{ uri: "spiffe://cluster.local/ns/a/sa/b" }, { dns: "x" }],
            expiration_time: "2026-11-21T12:00:00Z",
          },
        ],
      },
      {},
    ],
  });
  expect(parseCertificates(text)).toEqual([
    {
      roots: [{ serial: "0A", uris: [], notAfterMs: Date.parse("2026-11-22T00:00:00Z") }],
      chain: [
        { serial: "BEEF", uris: ["spiffe://cluster.local/ns/a/sa/b"], notAfterMs: Date.parse("2026-11-21T12:00:00Z") },
      ],
    },
    { roots: [], chain: [] },
  ]);
});

test("a sidecar drains its inbound listeners, a gateway all", () => {
  expect(drainPath("inbound", true)).toBe("/drain_listeners?inboundonly&graceful&skip_exit");
  expect(drainPath("inbound", false)).toBe("/drain_listeners?inboundonly&graceful");
  expect(drainPath("all", true)).toBe("/drain_listeners?graceful&skip_exit");
});

test.each([
  ["1.36.4", false],
  ["1.37.0", true],
  ["1.40.0-dev", true],
  ["2.0.0", true],
  ["", false],
])("Envoy %j ends after its drain unless told not to: %s", (version, ends) => {
  expect(endsAfterDrain(version)).toBe(ends);
});
