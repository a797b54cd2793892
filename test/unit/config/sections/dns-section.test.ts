// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { AgentConfig } from "../../../../src/config/agent-config.ts";
import { parseConfig } from "../../../../src/config/index.ts";
import { podEnv, type TestInput, testInput } from "../../../support/parity-case.ts";

function parse({ env = {}, ...more }: TestInput = {}): AgentConfig {
  return parseConfig(testInput({ ...more, env: { ...podEnv, ...env } }));
}

const capture = { ISTIO_META_DNS_CAPTURE: "true" };

describe("the DNS proxy", () => {
  test.each([
    ["a sidecar with capture", "sidecar", capture, true],
    ["a router with capture", "router", capture, false],
    ["a router with a DNS server", "router", { ISTIO_META_ENABLE_DNS_SERVER: "true" }, true],
    ["a sidecar without either", "sidecar", {}, false],
  ])("%s", (_, role, env, isOn) => {
    expect(parse({ args: [role], env }).dns !== undefined).toBe(isOn);
  });

  test("has pilot-agent's defaults", () => {
    expect(parse({ env: capture }).dns).toEqual({
      listen: { host: "localhost", port: 15_053 },
      domain: { namespace: "shop", domain: "svc.cluster.local" },
      forward: { resolvConfPaths: ["/etc/resolv.conf"], parallel: false, timeoutMs: 5_000 },
      beforeTable: "wait",
    });
  });

  test("forwards by another file, all at once and for a shorter time when it is configured so", () => {
    const more = { ATTACHE_RESOLV_CONF: "/x", DNS_FORWARD_PARALLEL: "true", DNS_FORWARD_TIMEOUT: "2s" };
    const forward = { resolvConfPaths: ["/x"], parallel: true, timeoutMs: 2_000 };
    expect(parse({ env: { ...capture, ...more } }).dns).toMatchObject({ forward });
  });

  test.each(["0s", "-1s"])("a time of %s for a query is warned about, and not used", (DNS_FORWARD_TIMEOUT) => {
    const { dns, warnings } = parse({ env: { ...capture, DNS_FORWARD_TIMEOUT } });
    expect(dns?.forward.timeoutMs).toBe(5_000);
    expect(warnings).toContainEqual(expect.objectContaining({ source: "DNS_FORWARD_TIMEOUT" }));
  });

  test("the domain of --domain is shortened by the namespace alone", () => {
    const domainOf = (domain: string) => parse({ args: ["sidecar", "--domain", domain], env: capture }).dns?.domain;
    expect(domainOf("shop.svc.example.org")).toEqual({ namespace: "shop", domain: "svc.example.org" });
    expect(domainOf("svc.example.org.")).toEqual({ namespace: "shop", domain: "svc.example.org" });
  });

  test.each([
    ["127.0.0.1:1053", { host: "127.0.0.1", port: 1053 }],
    ["[::1]:1053", { host: "::1", port: 1053 }],
    [":1053", { host: "::", port: 1053 }],
    ["", { host: "localhost", port: 15_053 }],
  ])("listens on %s", (DNS_PROXY_ADDR, listen) => {
    expect(parse({ env: { ...capture, DNS_PROXY_ADDR } }).dns?.listen).toEqual(listen);
  });

  test.each(["localhost", "::1:53", "a:b", "1.2.3.4:0"])("an address %s is a problem where it counts", (address) => {
    const env = { ...capture, DNS_PROXY_ADDR: address };
    expect(() => parse({ env })).toThrow(/DNS_PROXY_ADDR: .* is not host:port/);
    expect(parse({ env: { DNS_PROXY_ADDR: address } }).dns).toBeUndefined();
  });

  test("on port 53 root asks the resolvers that were there before, also without a table; others get the default", () => {
    const env = { ...capture, DNS_PROXY_ADDR: "127.0.0.1:53" };
    expect(parse({ env, system: { uid: 0, gid: 0 } }).dns).toMatchObject({
      listen: { host: "127.0.0.1", port: 53 },
      forward: { resolvConfPaths: ["/var/lib/istio/resolv.conf", "/etc/resolv.conf"] },
      beforeTable: "forward",
    });
    const other = parse({ env, system: { uid: 1337, gid: 1337 } });
    expect(other.dns).toMatchObject({ listen: { host: "localhost", port: 15_053 }, beforeTable: "wait" });
    expect(other.warnings).toContainEqual(expect.objectContaining({ source: "DNS_PROXY_ADDR" }));
  });
});
