// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { buildRuleSet, renderInterceptionExplanation } from "../../../src/interception/index.ts";
import { machineOf, parseOptions } from "../../support/recorded-interception.ts";

const dualStack = machineOf({ addresses: ["10.0.0.5", "fd00::5"], resolvConf: "nameserver 10.96.0.10" });

/** The lines of each path by its title. */
function explain(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  machine = machineOf({ addresses: ["10.0.0.5"], resolvConf: "nameserver 10.96.0.10" }),
): Readonly<Record<string, readonly string[]>> {
  const { capture } = parseOptions(args, env, machine);
  const [, ...paths] = renderInterceptionExplanation(buildRuleSet(capture), capture).split("\n\n");
  return Object.fromEntries(
    paths.map((path) => {
      const [title = "", ...lines] = path.trimEnd().split("\n");
      return [title, lines.map((line) => line.trim())];
    }),
  );
}

const ofProxy = "TCP connections of Envoy and the agent (user 1337, group 1337)";
const inbound = "Inbound TCP connections";
const outbound = "Outbound TCP connections of applications";
const udp = "Outbound UDP packets of applications";

test("the injector's options in words", () => {
  expect(explain(["-u", "1337", "-m", "REDIRECT", "-i", "*", "-b", "*", "-d", "15090,15021,15020"])).toEqual({
    [inbound]: ["not captured: to port 15008, 15090, 15021, 15020", "Envoy's inbound port 15006: all others"],
    [outbound]: ["not captured: over lo; to 127.0.0.1/32", "Envoy's outbound port 15001: all others"],
    [udp]: ["not captured: all"],
    [ofProxy]: [
      "not captured: over lo and from 127.0.0.6/32",
      "Envoy's inbound port 15006: over lo and to an IPv4 address outside 127.0.0.1/32 and not to port 15008",
      "not captured: all others",
    ],
  });
});

test("TPROXY keeps the source address, for both families and for lists of ports", () => {
  const keeps = "Envoy's inbound port 15006, with the source address unchanged";
  expect(explain(["-m", "TPROXY", "-b", "*", "-d", "22", "--drop-invalid"], {}, dualStack)[inbound]).toEqual([
    "dropped: invalid for connection tracking",
    "not captured: to port 22",
    `${keeps}: all others`,
  ]);
  expect(explain(["-m", "TPROXY", "-b", "80,8000:8010"])[inbound]).toEqual([
    `${keeps}: to port 80, 8000 to 8010`,
    "not captured: all others",
  ]);
});

test("the order of the rules decides between excluded and captured destinations", () => {
  const args = ["-i", "10.0.0.0/8,fd00::/8", "-x", "10.1.0.0/16", "-q", "443", "-o", "3306,53", "-c", "eth1,ve+"];
  expect(explain(args, { ISTIO_OUTBOUND_OWNER_GROUPS: "202,root" }, dualStack)[outbound]).toEqual([
    "not captured: over eth1; over ve+; to port 3306; over lo; not of group 202 or group 0; to 127.0.0.1/32; " +
      "to ::1/128; to 10.1.0.0/16",
    "Envoy's outbound port 15001: to port 443; to 10.0.0.0/8; to fd00::/8",
    "not captured: all others",
  ]);
});

test("an included loopback address is outbound, also over lo", () => {
  expect(explain(["-i", "127.1.2.3/32"], { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "7" })[outbound]).toEqual([
    "not captured: of group 7; to 127.0.0.1/32",
    "Envoy's outbound port 15001: to 127.1.2.3/32",
    "not captured: all others",
  ]);
});

test.each([
  ["REDIRECT", ["not captured: to port 15008", "Envoy's inbound port 15006: all others"]],
  ["TPROXY", ["Envoy's inbound port 15006, with the source address unchanged: all"]],
])("in mode %s virtual machines' connections are outbound, and are told apart from others", (mode, others) => {
  const found = explain(["-m", mode, "-b", "*", "-i", "*", "-k", "vm0,vm1"]);
  expect(found["TCP connections of virtual machines on vm0"]).toEqual(["Envoy's outbound port 15001: all"]);
  expect(found["TCP connections of virtual machines on vm1"]).toEqual(["Envoy's outbound port 15001: all"]);
  expect(found[`${inbound}, others than those of virtual machines`]).toEqual(others);
});

test("DNS queries go to the DNS proxy, the agent's own do not", () => {
  const all = explain(["--redirect-dns", "--capture-all-dns", "-i", "*"], { DNS_PROXY_ADDR: ":5353" });
  expect(all["DNS queries of applications over UDP"]).toEqual(["the DNS proxy's port 5353: all"]);
  expect(all["DNS queries of applications over TCP"]).toEqual(["the DNS proxy's port 5353: all"]);
  expect(all["DNS queries of Envoy and the agent"]).toEqual(["not captured: all"]);

  const some = explain(["--redirect-dns", "-i", "*"], {}, dualStack);
  expect(some["DNS queries of applications over UDP"]).toEqual([
    "the DNS proxy's port 15053: to 10.96.0.10/32",
    "not captured: all others",
  ]);
  expect(some["DNS queries of applications over TCP"]).toEqual([
    "the DNS proxy's port 15053: to 10.96.0.10/32",
    "not captured: to 127.0.0.1/32; to ::1/128",
    "Envoy's outbound port 15001: all others",
  ]);
});

test("every owner of several reaches Envoy's inbound port at the pod's own address", () => {
  const found = explain(["-u", "3,4", "-g", "1,2"])["TCP connections of Envoy and the agent (users 3, 4, groups 1, 2)"];
  expect(found).toEqual(explain([])[ofProxy]);
});

test("the head names families, mode, the routing table and the DNS servers", () => {
  const { capture } = parseOptions(["-m", "TPROXY", "-b", "*", "--redirect-dns"], {}, dualStack);
  expect(renderInterceptionExplanation(buildRuleSet(capture), capture).split("\n\n")[0]).toBe(
    "Families: IPv4 and IPv6; mode: TPROXY\n" +
      "Packets with mark 1337 are delivered locally, by routing table 133\n" +
      "DNS servers: 10.96.0.10",
  );
});

test("thousands of ranges and ports are explained within the time of a test", () => {
  const count = 3_000;
  const ranges = (first: string): string =>
    Array.from({ length: count }, (_, index) => `${first}.${String(index >> 8)}.${String(index & 255)}.0/24`).join();
  const ports = Array.from({ length: count }, (_, index) => String(20_000 + index));
  const args = ["-m", "TPROXY", "-b", "*", "-d", ports.join(), "-i", ranges("11"), "-x", ranges("10")];
  const found = explain(args, {}, dualStack);
  expect(found[inbound]?.[0]?.split(",")).toHaveLength(count);
  expect(found[outbound]?.[0]?.match(/ to 10\./g)).toHaveLength(count);
  expect(found[outbound]?.[1]?.match(/ to 11\./g)).toHaveLength(count);
});
