// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { collisions } from "../../../src/envoy/taken-ports.ts";
import { ipBytes } from "../../../src/lib/net/ip-address.ts";

function isTaken(host: string, other: string, port = 15_021): boolean {
  const sockets = [{ ip: ipBytes(other) ?? new Uint8Array(), port: 15_021 }];
  return collisions([{ host, port, setting: "" }], sockets).length > 0;
}

describe("B17: an address is taken", () => {
  test.each([
    ["0.0.0.0", "0.0.0.0"],
    ["0.0.0.0", "10.0.0.5"],
    ["10.0.0.5", "0.0.0.0"],
    ["127.0.0.1", "127.0.0.1"],
    ["::", "::"],
    ["::", "fd00::5"],
  ])("%s by a process at %s", (host, other) => {
    expect(isTaken(host, other)).toBe(true);
  });

  test.each([
    ["127.0.0.1", "10.0.0.5"],
    ["::1", "fd00::5"],
    ["::", "0.0.0.0"],
    ["0.0.0.0", "::"],
    ["/run/socket", "0.0.0.0"],
  ])("not %s by a process at %s", (host, other) => {
    expect(isTaken(host, other)).toBe(false);
  });

  test("not by a process at another port", () => {
    expect(isTaken("0.0.0.0", "0.0.0.0", 15_090)).toBe(false);
  });
});
