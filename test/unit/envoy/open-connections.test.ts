// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { parseOpenConnections, sumConnections } from "../../../src/envoy/open-connections.ts";

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
