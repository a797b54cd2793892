// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Arrival, Connect, Listen } from "../../fixtures/network/peer.ts";
import type { IpFamily } from "../../../src/interception/options.ts";
import {
  type AddressName,
  addresses,
  mayMakeNetworks,
  type PacketNetwork,
  type Sender,
  startPacketNetwork,
} from "./packet-network.ts";
import { capture } from "./capture-packets.ts";

/*
 * Where packets arrive, and what the receiver knows of their source and destination. Two sets of options, with both
 * backends, both modes and both families.
 */

const families: readonly IpFamily[] = ["ipv4", "ipv6"];
const runs = [
  ["iptables", "REDIRECT"],
  ["iptables", "TPROXY"],
  ["nftables", "REDIRECT"],
  ["nftables", "TPROXY"],
] as const;
type Mode = (typeof runs)[number][1];

const fixed = {
  loopback: { ipv4: "127.0.0.1", ipv6: "::1" },
  everywhere: { ipv4: "0.0.0.0", ipv6: "::" },
  /** Source of Envoy's connections to the application. */
  passthrough: { ipv4: "127.0.0.6", ipv6: "::6" },
} as const;
const hosts = { ...addresses, ...fixed };
type Host = AddressName | keyof typeof fixed;

const port = { app: 8_080, uncaptured: 8_081, captured: 8_082, excluded: 9_999, dns: 53 } as const;
const envoyPorts = { outbound: 15_001, inbound: 15_006, tunnel: 15_008, status: 15_020, dns: 15_053 } as const;

/** One packet or connection. */
interface Packet {
  readonly path: string;
  readonly from: Sender;
  readonly to: readonly [Host, number];
  readonly udp?: true;
  /** Its source address, if the system does not choose it. */
  readonly source?: Host;
  /** The listener that gets it. */
  readonly at: string | Readonly<Record<Mode, string>>;
}

const byInjector: readonly Packet[] = [
  { path: "inbound", from: "outside", to: ["pod", port.app], at: "inbound" },
  { path: "inbound, UDP", from: "outside", to: ["pod", port.app], udp: true, at: "application" },
  { path: "inbound, excluded port", from: "outside", to: ["pod", envoyPorts.status], at: "status" },
  {
    path: "inbound, tunnel port: with TPROXY it is a port as any other",
    from: "outside",
    to: ["pod", envoyPorts.tunnel],
    at: { REDIRECT: "tunnel", TPROXY: "inbound" },
  },
  { path: "outbound", from: "application", to: ["outside", port.app], at: "outbound" },
  { path: "outbound, UDP", from: "application", to: ["outside", port.app], udp: true, at: "outside" },
  { path: "outbound, excluded port", from: "application", to: ["outside", port.excluded], at: "outside, excluded" },
  { path: "outbound, excluded address", from: "application", to: ["elsewhere", port.app], at: "outside" },
  { path: "loopback", from: "application", to: ["loopback", port.app], at: "application" },
  { path: "from the application to its own address", from: "application", to: ["pod", port.app], at: "application" },
  { path: "from Envoy", from: "envoy", to: ["outside", port.app], at: "outside" },
  { path: "from Envoy to loopback", from: "envoy", to: ["loopback", port.app], at: "application" },
  { path: "from Envoy to the pod's address", from: "envoy", to: ["pod", port.app], at: "inbound" },
  {
    path: "from Envoy to the application",
    from: "envoy",
    to: ["pod", port.app],
    source: "passthrough",
    at: "application",
  },
  {
    path: "from Envoy to the pod's tunnel port",
    from: "envoy",
    to: ["pod", envoyPorts.tunnel],
    at: { REDIRECT: "tunnel", TPROXY: "inbound" },
  },
  { path: "from Envoy's group", from: "agent", to: ["outside", port.app], at: "outside" },
  {
    path: "from Envoy's group to the pod's address",
    from: "agent",
    to: ["pod", port.app],
    at: { REDIRECT: "application", TPROXY: "inbound" },
  },
  { path: "DNS", from: "application", to: ["nameServer", port.dns], udp: true, at: "DNS proxy" },
  { path: "DNS over TCP", from: "application", to: ["nameServer", port.dns], at: "DNS proxy" },
  { path: "DNS, another server", from: "application", to: ["elsewhere", port.dns], udp: true, at: "DNS proxy" },
  { path: "DNS on loopback", from: "application", to: ["loopback", port.dns], udp: true, at: "DNS proxy" },
  { path: "DNS over TCP on loopback", from: "application", to: ["loopback", port.dns], at: "DNS proxy" },
  { path: "DNS from the agent", from: "envoy", to: ["nameServer", port.dns], udp: true, at: "name server" },
  { path: "DNS over TCP from the agent", from: "envoy", to: ["nameServer", port.dns], at: "name server" },
];

const byLists: readonly Packet[] = [
  { path: "inbound", from: "outside", to: ["pod", port.app], at: "inbound" },
  { path: "inbound, port not in the list", from: "outside", to: ["pod", port.uncaptured], at: "application" },
  { path: "inbound, excluded interface", from: "outside", to: ["podOnNet1", port.app], at: "application" },
  { path: "outbound", from: "application", to: ["outside", port.app], at: "outbound" },
  { path: "outbound, address not in the list", from: "application", to: ["elsewhere", port.app], at: "outside" },
  {
    path: "outbound, address not in the list but port",
    from: "application",
    to: ["elsewhere", port.captured],
    at: "outbound",
  },
  { path: "outbound, excluded interface", from: "application", to: ["outsideOnNet1", port.app], at: "outside" },
  { path: "outbound, excluded group", from: "batch", to: ["outside", port.app], at: "outside" },
  { path: "from a virtual machine", from: "outside", to: ["service", port.app], source: "machine", at: "outbound" },
  { path: "from the second user", from: "agent", to: ["outside", port.app], at: "outside" },
  { path: "from the second user to the pod's address", from: "agent", to: ["pod", port.app], at: "inbound" },
  { path: "from Envoy to the pod's address", from: "envoy", to: ["pod", port.app], at: "inbound" },
  { path: "DNS", from: "application", to: ["nameServer", port.dns], udp: true, at: "DNS proxy" },
  { path: "DNS over TCP", from: "application", to: ["nameServer", port.dns], at: "DNS proxy" },
  { path: "DNS, another server", from: "application", to: ["elsewhere", port.dns], udp: true, at: "name server" },
  { path: "DNS from the agent", from: "agent", to: ["nameServer", port.dns], udp: true, at: "name server" },
];

const bothFamilies = (name: AddressName): string => `${addresses[name].ipv4}/32,${addresses[name].ipv6}/128`;

describe.runIf(mayMakeNetworks()).each(runs)("packets with %s in mode %s", (backend, mode) => {
  describe("the options of the injector", () => {
    const network = startedNetwork(mode, async (started) => {
      await capture(started, backend, [
        ...["-p", "15001", "-z", "15006", "-u", "1337", "-m", mode, "-i", "*", "-b", "*", "-d", "15090,15021,15020"],
        ...["-x", bothFamilies("elsewhere"), "-o", String(port.excluded), "--redirect-dns", "--capture-all-dns"],
      ]);
    });
    testPackets(network, mode, byInjector);

    test.each(families)("%s: ports of DNS queries of application and agent may be the same", async (family) => {
      const query = { protocol: "udp", host: addresses.nameServer[family], port: port.dns, fromPort: 40_053 } as const;
      const arrivals: string[] = [];
      for (const sender of ["application", "envoy", "application"] as const)
        arrivals.push((await network().send(sender, query)).at);
      expect(arrivals).toEqual(["DNS proxy", "name server", "DNS proxy"]);
    });

    if (mode === "TPROXY") {
      test("Envoy may connect to the application from the address of the client", async () => {
        const from = addresses.outside.ipv4;
        const to = { protocol: "tcp", host: addresses.pod.ipv4, port: port.app, from, mark: 1_337 } as const;
        expect(await network().send("agent", to)).toMatchObject({ at: "application", source: from });
      });
    }
  });

  describe("lists, interfaces, groups and DNS servers", () => {
    const network = startedNetwork(mode, async (started) => {
      const destinations = (["outside", "outsideOnNet1", "service"] as const).map(bothFamilies).join(",");
      const args = [
        ...["-u", "1337,2000", "-g", "1337", "-m", mode, "-b", String(port.app), "-q", String(port.captured)],
        ...["-i", destinations, "-c", "net1", "-k", "vm0", "--redirect-dns"],
      ];
      await capture(started, backend, args, {
        env: { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: "3000" },
        nameServers: Object.values(addresses.nameServer),
      });
    });
    testPackets(network, mode, byLists);
  });
});

/** The network of the tests of a block, with listeners and rules. */
function startedNetwork(mode: Mode, setUp: (network: PacketNetwork) => Promise<void>): () => PacketNetwork {
  let network: PacketNetwork | undefined;
  beforeAll(async () => {
    network = await startPacketNetwork();
    await startListeners(network, mode);
    await setUp(network);
  });
  afterAll(async () => {
    await network?.[Symbol.asyncDispose]();
  });
  return () => {
    if (network === undefined) throw new Error("no network");
    return network;
  };
}

function testPackets(network: () => PacketNetwork, mode: Mode, packets: readonly Packet[]): void {
  describe.each(families)("%s", (family) => {
    test.each(packets)("$path", async ({ from, to: [name, number], udp, source, at }) => {
      const host = hosts[name][family];
      const sourceHost = hosts[source ?? sourceOf(from, name)][family];
      const to: Connect = { protocol: udp === true ? "udp" : "tcp", host, port: number, from: sourceHost };
      const arrival = await network().send(from, to);
      const expected = typeof at === "string" ? at : at[mode];
      expect(arrival).toMatchObject({ at: expected, source: sourceHost });
      if (udp === true) return;
      const isTransparent = mode === "TPROXY" && expected === "inbound" && from === "outside";
      expect(isTransparent ? arrival.local : destinationOf(arrival)).toBe(
        family === "ipv4" ? `${host}:${String(number)}` : `[${host}]:${String(number)}`,
      );
    });
  });
}

function sourceOf(from: Sender, to: Host): Host {
  if (to === "loopback") return "loopback";
  if (from === "outside") return to === "podOnNet1" ? "outsideOnNet1" : "outside";
  return to === "outsideOnNet1" ? "podOnNet1" : "pod";
}

/** As Envoy finds it. */
function destinationOf({ original, local }: Arrival): string | undefined {
  return original === "" ? local : original;
}

async function startListeners(network: PacketNetwork, mode: Mode): Promise<void> {
  const tcp = (host: Host, byName: Readonly<Record<string, number>>, transparent = false) =>
    families.flatMap((family) =>
      Object.entries(byName).map(([name, number]): Listen => {
        return { name, protocol: "tcp", host: hosts[host][family], port: number, transparent };
      }),
    );
  const udp = (name: string, host: Host, number: number) =>
    families.map((family): Listen => ({ name, protocol: "udp", host: hosts[host][family], port: number }));
  const { inbound, dns, ...others } = envoyPorts;
  await network.listen("envoy", [
    ...tcp("everywhere", others),
    ...tcp("everywhere", { inbound }, mode === "TPROXY"),
    ...tcp("loopback", { "DNS proxy": dns }),
    ...udp("DNS proxy", "loopback", dns),
  ]);
  await network.listen("application", [
    ...tcp("everywhere", { application: port.app }),
    ...tcp("everywhere", { application: port.uncaptured }),
    ...udp("application", "pod", port.app),
  ]);
  await network.listen("outside", [
    ...tcp("everywhere", { outside: port.app, "outside, excluded": port.excluded }),
    ...tcp("nameServer", { "name server": port.dns }),
    ...udp("name server", "nameServer", port.dns),
    ...udp("name server", "elsewhere", port.dns),
    ...udp("outside", "outside", port.app),
  ]);
}
