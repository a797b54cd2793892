// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../../src/config/index.ts";
import type { Machine } from "../../../../src/config/interception/machine.ts";
import type { ParsedInterception } from "../../../../src/config/interception/parse-interception.ts";
import { machineOf, parseOptions } from "../../../support/recorded-interception.ts";

type Env = Readonly<Record<string, string>>;

const capture = (args: readonly string[], env: Env = {}): ParsedInterception["capture"] =>
  parseOptions(args, env).capture;

/** Every problem as `source: message`. */
function problems(args: readonly string[], env: Env = {}, machine?: Machine): readonly string[] {
  try {
    parseOptions(args, env, machine);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ source, message }) => `${source}: ${message}`);
  }
}

const warnings = (args: readonly string[], env: Env = {}, machine?: Machine): readonly string[] =>
  parseOptions(args, env, machine).warnings.map(({ source, message }) => `${source}: ${message}`);

test("without options nothing but what Envoy needs is captured", () => {
  const { capture: found, run } = parseOptions([]);
  expect(found).toEqual({
    families: ["ipv4"],
    mode: { kind: "redirect" },
    outboundPort: 15_001,
    inboundPort: 15_006,
    tunnelPort: 15_008,
    proxyUids: [1_337],
    proxyGids: [1_337],
    inbound: { kind: "none" },
    outbound: { destinations: { kind: "cidrs", cidrs: [] }, excludedCidrs: [], ports: [], excludedPorts: [] },
    ownerGroups: { kind: "all", excludedGids: [] },
    excludedInterfaces: [],
    virtualInterfaces: [],
    dns: { kind: "none" },
    dropInvalid: false,
    ipv4Loopback: { family: "ipv4", text: "127.0.0.1/32" },
  });
  expect(run).toEqual({
    backend: { kind: "iptables", binary: undefined },
    dryRun: false,
    dryRunFile: undefined,
    explain: false,
    skipRuleApply: false,
    runValidation: false,
    reconcile: false,
    cleanupOnly: false,
    forceApply: false,
    cniMode: false,
    networkNamespace: undefined,
    probePort: 15_002,
    probeTimeoutMs: 5_000,
  });
});

describe("a flag counts more than a variable, and a variable more than the default", () => {
  test.each<[string, readonly string[], Env, unknown]>([
    ["the flag", ["-p", "1"], { ENVOY_PORT: "2" }, { outboundPort: 1 }],
    ["the variable", [], { ENVOY_PORT: "2" }, { outboundPort: 2 }],
    ["not an empty variable", [], { ENVOY_PORT: "" }, { outboundPort: 15_001 }],
    ["not a variable of Kubernetes", [], { ENVOY_PORT: "tcp://10.0.0.1:80" }, { outboundPort: 15_001 }],
    [
      "Istio's variable first",
      [],
      { ISTIO_META_DNS_CAPTURE: "false", REDIRECT_DNS: "true" },
      { dns: { kind: "none" } },
    ],
    ["INVALID_DROP first", [], { INVALID_DROP: "1", DROP_INVALID: "0" }, { dropInvalid: true }],
    [
      "either name of the excluded ports",
      ["-b", "*"],
      { ISTIO_INBOUND_EXCLUDE_PORTS: "22" },
      { inbound: { kind: "all", excludedPorts: [{ first: 22, last: 22 }] } },
    ],
  ])("%s", (_what, args, env, expected) => {
    expect(capture(args, env)).toMatchObject(expected as object);
  });
});

test("an empty list of destinations, groups or ports is as none", () => {
  expect(capture(["-x", "", "-i", "", "-b", "", "-g", ""], { ISTIO_OUTBOUND_OWNER_GROUPS: "" })).toEqual(capture([]));
});

test("lists may have space and empty items, ports may be ranges, addresses get their one spelling", () => {
  const { inbound, outbound } = capture(["-b", "80, ,8000:8010,", "-i", "2001:DB8:0::/32, 10.1.2.3/8"]);
  const range = (first: number, last = first): object => ({ first, last });
  expect(inbound).toEqual({ kind: "ports", ports: [range(80), range(8_000, 8_010)] });
  expect(outbound.destinations).toEqual({
    kind: "cidrs",
    cidrs: [
      { family: "ipv6", text: "2001:db8::/32" },
      { family: "ipv4", text: "10.1.2.3/8" },
    ],
  });
});

describe("users and groups", () => {
  test.each<[string, readonly string[], Env, readonly number[], readonly number[]]>([
    ["are 1337 if Envoy's user is not there", [], {}, [1_337], [1_337]],
    ["are Envoy's user, and the same number as group", [], { ENVOY_USER: "envoy" }, [1_400], [1_400]],
    ["are names or numbers", ["-u", "envoy,7", "-g", "developers"], {}, [1_400, 7], [202]],
  ])("%s", (_what, args, env, uids, gids) => {
    expect(capture(args, env)).toMatchObject({ proxyUids: uids, proxyGids: gids });
  });

  test("an ENVOY_USER that is not there is a warning", () => {
    expect(warnings([], { ENVOY_USER: "nobody-here" })).toEqual([
      "ENVOY_USER: is not the name of a user in /etc/passwd; use its number; 1337 is used",
    ]);
  });

  const groups = (count: number): string => Array.from({ length: count }, (_, index) => String(index)).join(",");
  test.each<[string, readonly string[], number, string | undefined]>([
    ["48 with iptables", [], 48, undefined],
    ["no more with iptables", [], 49, "at most 48 with iptables; --native-nftables takes 64"],
    ["64 with nftables", ["--native-nftables"], 64, undefined],
    ["no more with nftables", ["--native-nftables"], 65, "at most 64"],
  ])("captured groups: %s", (_what, args, count, problem) => {
    const env = { ISTIO_OUTBOUND_OWNER_GROUPS: groups(count) };
    const message = `ISTIO_OUTBOUND_OWNER_GROUPS: has ${String(count)} users and groups; ${problem ?? ""}`;
    expect(problems(args, env)).toEqual(problem === undefined ? [] : [message]);
  });

  test("excluded groups are not limited, and have no effect if others are listed", () => {
    const many = groups(1_000);
    expect(capture([], { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: many }).ownerGroups).toMatchObject({ kind: "all" });
    const both = { ISTIO_OUTBOUND_OWNER_GROUPS: "1", ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "2" };
    expect(warnings([], both)).toEqual([
      "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: has no effect with ISTIO_OUTBOUND_OWNER_GROUPS",
    ]);
  });
});

describe("an invalid value is an error that names its flag or variable", () => {
  test.each<[readonly string[], Env, string]>([
    [["-p", "0"], {}, '--envoy-port: "0" is not a port: 1 to 65535'],
    [[], { INBOUND_CAPTURE_PORT: "x" }, 'INBOUND_CAPTURE_PORT: "x" is not a port: 1 to 65535'],
    [["-b", "80,http"], {}, '--istio-inbound-ports: "http" is not a port (0 to 65535) or a range of ports (8000:8010)'],
    [["-b", "*,80"], {}, '--istio-inbound-ports: "*" is not a port (0 to 65535) or a range of ports (8000:8010)'],
    [["-q", "9:8"], {}, '--istio-outbound-ports: "9:8" is a range of ports whose end is below its start'],
    [["-o", "70000"], {}, '--istio-local-outbound-ports-exclude: "70000" is not a port (0 to 65535) or a range'],
    [["-i", "10.1.0.0"], {}, '--istio-service-cidr: "10.1.0.0" has no length; a single address is 10.1.0.0/32'],
    [["-i", "10.1.0.0/33"], {}, '--istio-service-cidr: "10.1.0.0/33" has a length that is not a number from 0 to 32'],
    [["-i", "foo"], {}, '--istio-service-cidr: "foo" is not an address range (10.0.0.0/8, fd00::/8)'],
    [["-x", "*"], {}, '--istio-service-exclude-cidr: "*" excludes every destination'],
    [
      ["-m", "TRPOXY"],
      {},
      '--istio-inbound-interception-mode: "TRPOXY" is not REDIRECT or TPROXY (did you mean TPROXY?)',
    ],
    [["-m", "TPROXY", "-t", "abc"], {}, '--istio-inbound-tproxy-mark: "abc" is not a mark: 1 to 4294967295'],
    [["-m", "TPROXY", "-t", "0x53a"], {}, "--istio-inbound-tproxy-mark: 0x53a is used for connections of Envoy"],
    [["-m", "TPROXY", "-r", "255"], {}, '--istio-inbound-tproxy-route-table: "255" is a routing table of the system'],
    [["-u", "4294967295"], {}, '--proxy-uid: "4294967295" is not the number of a user: 0 to 4294967294'],
    [["-g", "nobody-here"], {}, '--proxy-gid: "nobody-here" is not the name of a group in /etc/group; use its number'],
    [["-c", "eth 0"], {}, '--istio-exclude-interfaces: "eth 0" is not the name of an interface'],
    [["-k", "a-name-of-16-ch."], {}, '--kube-virt-interfaces: "a-name-of-16-ch." is longer than 15 characters'],
    [[], { DROP_INVALID: "notabool" }, 'DROP_INVALID: "notabool" is not true or false'],
    [[], { PROBE_TIMEOUT: "7" }, 'PROBE_TIMEOUT: "7" is not a duration above 0, such as 5s'],
    [["--iptables-probe-port", "99999"], {}, '--iptables-probe-port: "99999" is not a port'],
    [["--force-iptables-binary", "foo"], {}, '--force-iptables-binary: "foo" is not legacy or nft'],
    [[], { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "10.0.0.1/8" }, "is not a part of 127.0.0.0/8, as 127.0.0.1/32 is"],
    [[], { ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: "127.0.0.1/4" }, "is not a part of 127.0.0.0/8, as 127.0.0.1/32 is"],
    [["--redirect-dns"], { DNS_PROXY_ADDR: "15053" }, 'DNS_PROXY_ADDR: "15053" is not host:port'],
    [["--log_output_level", "loud"], {}, "--log_output_level: invalid output level 'loud'"],
  ])("%j %j", (args, env, message) => {
    expect(problems(args, env)).toEqual([expect.stringContaining(message) as string]);
  });

  test("all of them together", () => {
    expect(problems(["-p", "x", "-b", "y,z", "-i", "10"])).toHaveLength(4);
  });
});

describe("the families that are captured", () => {
  const families = (addresses: readonly string[], args: readonly string[] = [], resolvConf = ""): readonly string[] =>
    parseOptions(args, {}, machineOf({ addresses, resolvConf })).capture.families;
  const [v4, v6] = ["10.0.0.5", "fd00::5"];
  test.each<[readonly string[], readonly string[], readonly string[]]>([
    [[v4], [], ["ipv4"]],
    [[v6], [], ["ipv4", "ipv6"]],
    [[v4, v6], [], ["ipv4", "ipv6"]],
    [[v4, v6], ["--dual-stack"], ["ipv4", "ipv6"]],
    [[v4, v6], ["--dual-stack=false"], ["ipv4"]],
    [[v6, v4], ["--dual-stack=false"], ["ipv4", "ipv6"]],
    [[v4], ["--dual-stack"], ["ipv4"]],
    [[v4, "169.254.1.1", "FE80::1"], [], ["ipv4"]],
  ])("%j %j: %j", (addresses, args, expected) => {
    expect(families(addresses, args)).toEqual(expected);
  });

  test("IPv6 is captured for DNS servers that have no other addresses, unless it is disabled", () => {
    const machine = machineOf({ addresses: [v4], resolvConf: "nameserver fd00::a" });
    const disabled = { ...machine, addresses: () => ["127.0.0.1", v4] };
    const args = ["--redirect-dns"];
    expect(parseOptions(args, {}, machine).capture.families).toEqual(["ipv4", "ipv6"]);
    expect(parseOptions(args, {}, disabled).capture.families).toEqual(["ipv4"]);
  });

  test("without an address it is an error, unless nothing is applied", () => {
    const machine = machineOf({ addresses: [], resolvConf: "" });
    const problem = "network: no interface has an IP address other than loopback and link-local";
    expect(problems([], {}, machine)).toEqual([expect.stringContaining(problem) as string]);
    expect(warnings(["--dry-run"], {}, machine)).toEqual([expect.stringContaining(problem) as string]);
    expect(warnings(["--cleanup-only"], {}, machine)).toEqual([]);
  });
});

describe("DNS", () => {
  const dns = (args: readonly string[], resolvConf: string, env: Env = {}): unknown =>
    parseOptions(["--redirect-dns", ...args], env, machineOf({ addresses: ["10.0.0.5", "fd00::5"], resolvConf }))
      .capture.dns;

  test("is captured on the way to the servers of resolv.conf, whatever zone they have", () => {
    const text = "# nameserver 1.1.1.1\nsearch a.b\nnameserver\t10.96.0.10 \nnameserver FE80::1%eth0\nnameserver x\n";
    expect(dns([], text)).toEqual({
      kind: "servers",
      port: 15_053,
      servers: [
        { family: "ipv4", address: "10.96.0.10" },
        { family: "ipv6", address: "fe80::1" },
      ],
    });
  });

  test("goes to the port of the DNS proxy", () => {
    expect(dns(["--capture-all-dns"], "", { DNS_PROXY_ADDR: ":5353" })).toEqual({ kind: "all", port: 5_353 });
  });

  test("a proxy that does not listen on loopback gets no captured query, which is a warning", () => {
    const env = { DNS_PROXY_ADDR: "10.0.0.5:53" };
    expect(warnings(["--redirect-dns", "--capture-all-dns"], env)).toEqual([
      'DNS_PROXY_ADDR: captured queries go to loopback, where "10.0.0.5:53" does not listen',
    ]);
  });

  test("without servers nothing is captured, which is a warning", () => {
    expect(dns([], "search a.b")).toEqual({ kind: "none" });
    const machine = machineOf({ addresses: ["10.0.0.5"], resolvConf: "" });
    expect(warnings([], { ISTIO_META_DNS_CAPTURE: "true" }, machine)).toEqual([
      "ISTIO_META_DNS_CAPTURE: /etc/resolv.conf has no servers: DNS is not captured; use --capture-all-dns",
    ]);
  });

  test("servers that cannot be read are an error, but not for a cleanup", () => {
    const machine: Machine = {
      ...machineOf({ addresses: ["10.0.0.5"], resolvConf: "" }),
      resolvConf: () => {
        throw new Error("EACCES: permission denied");
      },
    };
    const message = "--redirect-dns: the DNS servers cannot be read: EACCES: permission denied; use --capture-all-dns";
    expect(problems(["--redirect-dns"], {}, machine)).toEqual([message]);
    expect(problems(["--redirect-dns", "--cleanup-only"], {}, machine)).toEqual([]);
  });
});

test("names are an error if the file with them cannot be read", () => {
  const machine: Machine = {
    ...machineOf({ addresses: ["10.0.0.5"], resolvConf: "" }),
    groups: () => {
      throw new Error("ENOENT: no such file");
    },
  };
  expect(problems(["-g", "java"], {}, machine)).toEqual([
    '--proxy-gid: "java" cannot be looked up: ENOENT: no such file; use the number of the group',
  ]);
});

test("an empty list of groups captures all, as without the variable", () => {
  expect(parseOptions([], { ISTIO_OUTBOUND_OWNER_GROUPS: "" }).capture.ownerGroups.kind).toBe("all");
});

test("numbers with leading zeros, which are octal for iptables, are errors", () => {
  expect(problems(["-u", "01337", "-b", "080", "-m", "TPROXY", "-t", "010", "-x", "10.0.0.0/08"])).toHaveLength(4);
});

test("every DNS server is captured only if DNS is captured, else a warning says so", () => {
  expect(warnings(["--capture-all-dns"])).toEqual(["--capture-all-dns: has no effect without --redirect-dns"]);
  expect(warnings([], { CAPTURE_ALL_DNS: "true" })).toEqual(["CAPTURE_ALL_DNS: has no effect without --redirect-dns"]);
  expect(warnings(["--capture-all-dns", "--redirect-dns"])).toEqual([]);
});

test("native nftables makes a variant of iptables meaningless, which is a warning", () => {
  expect(parseOptions(["--native-nftables"]).run.backend).toEqual({ kind: "nftables" });
  expect(warnings(["--native-nftables", "--force-iptables-binary=legacy"])).toEqual([
    "--force-iptables-binary: has no effect with --native-nftables",
  ]);
});
