// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { parseServiceAddress } from "../../../../src/config/proxy-config/proxy-config.ts";
import { parseConfig } from "../../../../src/config/index.ts";
import { podEnv, testInput } from "../../../support/parity-case.ts";

describe("B16: host:port takes every form of an IPv6 address", () => {
  test.each([
    ["[2001:db8::1]:15012", "2001:db8::1"],
    ["[2001:DB8:0:0:0:0:0:1]:15012", "2001:DB8:0:0:0:0:0:1"],
    ["[fe80::1%eth0]:15012", "fe80::1%eth0"],
    ["[::ffff:10.0.0.9]:15012", "::ffff:10.0.0.9"],
    ["[::]:15012", "::"],
  ])("%s", (text, host) => {
    expect(parseServiceAddress(text)).toEqual({ host, port: 15_012 });
  });

  test.each([
    ["$(HOST_IP):15012", "2001:db8::9"],
    ["[$(HOST_IP)]:15012", "2001:db8::9"],
    ["$(HOST_IP):15012", "[2001:db8::9]"],
    ["[$(HOST_IP)]:15012", "[2001:db8::9]"],
  ])("%s with HOST_IP=%s", (text, hostIp) => {
    expect(parseServiceAddress(text, hostIp)).toEqual({ host: "2001:db8::9", port: 15_012 });
  });

  test.each(["$(HOST_IP)", "[$(HOST_IP)]"])("%s in the addresses of CA, control plane, tracer and statsd", (host) => {
    const proxy = {
      discoveryAddress: `${host}:15012`,
      statsdUdpAddress: `${host}:8125`,
      tracing: { zipkin: { address: `${host}:9411` } },
    };
    const env = { ...podEnv, HOST_IP: "2001:db8::9", CA_ADDR: `${host}:15010`, PROXY_CONFIG: JSON.stringify(proxy) };
    const { ca, xds, bootstrap } = parseConfig(testInput({ env }));
    expect(ca).toMatchObject({ host: "2001:db8::9", port: 15_010 });
    expect(xds).toMatchObject({ proxy: { upstream: { addresses: [{ host: "2001:db8::9", port: 15_012 }] } } });
    expect(bootstrap).toMatchObject({
      config: {
        statsdAddress: { host: "2001:db8::9", port: 8_125 },
        tracer: { address: { host: "2001:db8::9", port: 9_411 } },
      },
    });
  });
});
