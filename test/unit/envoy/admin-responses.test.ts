// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import {
  parseCertificates,
  parseOpenConnections,
  parseServerInfo,
  parseTraffic,
} from "../../../src/envoy/admin-responses.ts";
import { sumConnections } from "../../../src/envoy/drain.ts";
import { drainPath, exitsAfterDrain } from "../../../src/envoy/admin-client.ts";
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
  expect(exitsAfterDrain(version)).toBe(ends);
});

const uncounted = [15021, 15090];

describe("C7 open connections", () => {
  test("only the users' listeners are counted, in both address families", () => {
    const open = parseOpenConnections(
      [
        "http.admin.downstream_cx_active: 1",
        "http.inbound_0.0.0.0_8080.downstream_cx_active: 12",
        "listener.0.0.0.0_15006.downstream_cx_active: 7",
        "listener.0.0.0.0_15006.worker_0.downstream_cx_active: 4",
        "listener.0.0.0.0_15006.worker_1.downstream_cx_active: 3",
        "listener.[__]_15006.downstream_cx_active: 8",
        "listener.10.1.2.3_443.downstream_cx_active: 3",
        "listener.my_gateway.downstream_cx_active: 1",
        "listener.0.0.0.0_15021.downstream_cx_active: 2",
        "listener.[__]_15021.downstream_cx_active: 5",
        "listener.127.0.0.1_15090.downstream_cx_active: 6",
        "listener.[__1]_15090.downstream_cx_active: 6",
        "listener.envoy_internal_connect_originate.downstream_cx_active: 9",
        "listener.admin.downstream_cx_active: 1",
        "listener.admin.main_thread.downstream_cx_active: 1",
        "listener.0.0.0.0_9000.downstream_cx_active: 0",
        "",
      ].join("\n"),
      uncounted,
    );
    expect(open).toEqual([
      { listener: "[__]_15006", connections: 8 },
      { listener: "0.0.0.0_15006", connections: 7 },
      { listener: "10.1.2.3_443", connections: 3 },
      { listener: "my_gateway", connections: 1 },
    ]);
    expect(sumConnections(open ?? [])).toBe(19);
  });

  test("listeners without connections count nothing", () => {
    const text = "listener.0.0.0.0_15006.downstream_cx_active: 0\nlistener.[__]_80.downstream_cx_active: 0\n";
    expect(parseOpenConnections(text, uncounted)).toEqual([]);
  });

  test("connections on excluded listeners alone count nothing", () => {
    const text = "listener.0.0.0.0_15021.downstream_cx_active: 3\nlistener.admin.downstream_cx_active: 2\n";
    expect(parseOpenConnections(text, uncounted)).toEqual([]);
  });

  test("an empty answer is told from zero connections", () => {
    expect(parseOpenConnections("", uncounted)).toBeUndefined();
    expect(parseOpenConnections("no stats here\n", uncounted)).toBeUndefined();
  });

  test("a listener is excluded by its port, not by a part of it", () => {
    const text = "listener.0.0.0.0_5021.downstream_cx_active: 1\nlistener.0.0.0.0_150210.downstream_cx_active: 1\n";
    expect(sumConnections(parseOpenConnections(text, uncounted) ?? [])).toBe(2);
  });
});

describe("B15: requests in flight are told apart from connections", () => {
  const requestsIn = (lines: readonly string[]) => {
    const own = ["listener.admin.downstream_cx_active: 1", "http.admin.downstream_cx_active: 1"];
    const text = [...own, "http.admin.downstream_rq_active: 1", "http.admin.downstream_rq_total: 9", ...lines].join(
      "\n",
    );
    return parseTraffic(text, [15021, 15090])?.requests;
  };

  test("a connection of HTTP without a request is neither a request nor another connection", () => {
    const lines = [
      "listener.0.0.0.0_15006.downstream_cx_active: 5",
      "listener.0.0.0.0_15006.worker_0.downstream_cx_active: 5",
      "http.inbound_0.0.0.0_8080;.downstream_cx_active: 5",
      "http.inbound_0.0.0.0_8080;.downstream_rq_active: 2",
      "http.inbound_0.0.0.0_8080;.downstream_rq_total: 40",
    ];
    expect(requestsIn(lines)).toEqual({ active: 2, total: 40, otherConnections: 0 });
  });

  test("connections of other protocols are those of the listeners that no HTTP connection manager has", () => {
    const lines = ["listener.0.0.0.0_15006.downstream_cx_active: 5", "http.inbound.downstream_cx_active: 2"];
    expect(requestsIn(lines)).toEqual({ active: 0, total: 0, otherConnections: 3 });
  });

  test("internal listeners count: an HTTP connection in a tunnel does not hide a TCP connection", () => {
    const lines = [
      "listener.0.0.0.0_15008.downstream_cx_active: 1",
      "listener.envoy_internal_main_internal.downstream_cx_active: 2",
      "http.tunnel.downstream_cx_active: 1",
      "http.inbound.downstream_cx_active: 1",
    ];
    expect(requestsIn(lines)).toMatchObject({ otherConnections: 1 });
  });

  test("requests for probes and metrics are left out, those of a user's listener with the same prefix are not", () => {
    const lines = [
      "listener.[__]_15021.downstream_cx_active: 1",
      "listener.0.0.0.0_8080.downstream_cx_active: 2",
      "http.agent.downstream_cx_active: 3",
      "http.agent.downstream_rq_active: 3",
      "http.agent.downstream_rq_total: 30",
    ];
    expect(requestsIn(lines)).toEqual({ active: 2, total: 0, otherConnections: 0 });
  });

  test("without stats of requests nothing is known of them", () => {
    const text = "listener.0.0.0.0_15006.downstream_cx_active: 1\nhttp.inbound.downstream_cx_active: 1\n";
    expect(parseTraffic(text, [])).toMatchObject({ open: [{ connections: 1 }], requests: undefined });
  });
});
