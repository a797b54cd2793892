// SPDX-License-Identifier: Apache-2.0
import { formatIp, ipBytes } from "../../lib/net/ip-address.ts";
import type { CaptureOptions, Cidr, IpFamily } from "../options.ts";
import { passthroughSource } from "../rule-values.ts";
import type { Rule, RuleSet } from "../rules.ts";
import { isIn, type OutboundPacket, pathOf } from "./packet-path.ts";

/** Who makes a test connection. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
}

/** A connection that the rules redirect to Envoy, and those rules. */
export interface Probe {
  readonly kind: "inbound" | "outbound";
  readonly packet: OutboundPacket;
  /** Envoy's port, where the connection has to arrive. */
  readonly port: number;
  readonly rules: readonly Rule[];
}

export interface ProbeOptions {
  readonly capture: CaptureOptions;
  readonly set: RuleSet;
  readonly probePort: number;
  /** This process, and the proxy's user if this process may act as it. */
  readonly callers: readonly Caller[];
  readonly addresses: readonly InterfaceAddress[];
}

/** An address of the machine that is not loopback. */
export interface InterfaceAddress {
  readonly interfaceName: string;
  /** With length: `10.0.0.5/24`. */
  readonly cidr: string;
}

const loopbackSource: Readonly<Record<IpFamily, string>> = { ipv4: "127.0.0.1", ipv6: "::1" };
/** Reserved for documentation: no machine has it. Source: RFC 5737, RFC 3849 */
const nowhere: Readonly<Record<IpFamily, readonly string[]>> = {
  ipv4: ["192.0.2.1", "198.51.100.1", "203.0.113.1"],
  ipv6: ["2001:db8::1", "2001:db8:1::1"],
};

/** The test connections of a family: those that the rules redirect. One of each kind at most for each caller. */
export function probesOf(options: ProbeOptions, family: IpFamily): readonly Probe[] {
  return options.callers.flatMap((caller) => [
    ...firstRedirected("inbound", selfCalls(options, family, caller), options),
    ...firstRedirected("outbound", outboundCalls(options, family, caller), options),
  ]);
}

function firstRedirected(
  kind: Probe["kind"],
  packets: readonly OutboundPacket[],
  { set, capture }: ProbeOptions,
): readonly Probe[] {
  const wanted = kind === "inbound" ? capture.inboundPort : capture.outboundPort;
  for (const packet of packets) {
    const { port, rules } = pathOf(set, packet);
    if (port === wanted) return [{ kind, packet, port, rules }];
  }
  return [];
}

/** What the proxy sends over `lo` to an address that is not the usual one of loopback is inbound. */
function selfCalls({ probePort }: ProbeOptions, family: IpFamily, caller: Caller): readonly OutboundPacket[] {
  const [destination = ""] = passthroughSource(family).text.split("/");
  return [{ family, source: loopbackSource[family], destination, port: probePort, outInterface: "lo", ...caller }];
}

/** A family without an address has no way out. */
function outboundCalls(options: ProbeOptions, family: IpFamily, caller: Caller): readonly OutboundPacket[] {
  const { capture, probePort, addresses } = options;
  const own = addresses.filter(({ cidr }) => cidr.includes(":") === (family === "ipv6"));
  const [first] = own;
  if (first === undefined) return [];
  const { destinations, ports } = capture.outbound;
  const captured = destinations.kind === "cidrs" ? destinations.cidrs.filter((cidr) => cidr.family === family) : [];
  const neighbours = own.map(({ cidr }) => following({ family, text: cidr }));
  const candidates = [...neighbours, ...captured.map(following), ...nowhere[family]];
  const isOwn = (address: string): boolean => own.some(({ cidr }) => cidr.split("/")[0] === address);
  const { interfaceName: outInterface, cidr } = first;
  const [source = ""] = cidr.split("/");
  return [probePort, ...ports.map((range) => range.first)].flatMap((port) =>
    candidates
      .filter((address) => address !== "" && !isOwn(address) && !isIn(loopbacks[family], address))
      .map((destination) => ({ family, source, destination, port, outInterface, ...caller })),
  );
}

const loopbacks: Readonly<Record<IpFamily, Cidr>> = {
  ipv4: { family: "ipv4", text: "127.0.0.0/8" },
  ipv6: { family: "ipv6", text: "::1/128" },
};

/** The next address of a range, or the one before if that is not in it; empty for a range of one address. */
function following(cidr: Cidr): string {
  const [base = ""] = cidr.text.split("/");
  const bytes = ipBytes(base) ?? new Uint8Array();
  const last = bytes.at(-1) ?? 0;
  for (const next of [last + 1, last - 1]) {
    const address = formatIp(bytes.with(bytes.length - 1, next));
    if (next > 0 && next < 255 && isIn(cidr, address)) return address;
  }
  return "";
}
