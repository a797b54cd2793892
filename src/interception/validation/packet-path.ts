// SPDX-License-Identifier: Apache-2.0
import { ipBytes } from "../../lib/net/ip-address.ts";
import { appliesTo, chainsOf } from "../chain-order.ts";
import type { Cidr, IpFamily, PortRange } from "../options.ts";
import type { Match, Owner, Rule, RuleSet } from "../rules.ts";

/** The first packet of a TCP connection that this machine makes. It has no mark. */
export interface OutboundPacket {
  readonly family: IpFamily;
  readonly source: string;
  readonly destination: string;
  readonly port: number;
  readonly outInterface: string;
  readonly uid: number;
  /** The process' group; rules do not look at its other groups. */
  readonly gid: number;
}

export interface PacketPath {
  /** Envoy's port that the connection is redirected to; undefined if it is not. */
  readonly port: number | undefined;
  /** The rules that lead there, in order: the jumps and the one that redirects. */
  readonly rules: readonly Rule[];
}

/** What the rules do to a packet. Only the table nat redirects what this machine sends. */
export function pathOf({ rules }: Pick<RuleSet, "rules">, packet: OutboundPacket): PacketPath {
  const ofFamily = rules.filter((rule) => appliesTo(rule, packet.family));
  const chains = new Map(chainsOf({ rules: ofFamily }, "nat").map(({ name, rules: ofChain }) => [name, ofChain]));
  const walk = (chain: Rule["chain"]): PacketPath | "returned" => {
    for (const rule of chains.get(chain) ?? []) {
      if (!matches(rule.match, packet)) continue;
      const { action } = rule;
      if (action.kind === "redirect") return { port: action.port, rules: [rule] };
      if (action.kind === "jump") {
        const path = walk(action.chain);
        if (path !== "returned") return { ...path, rules: [rule, ...path.rules] };
      } else return action.kind === "return" ? "returned" : { port: undefined, rules: [] };
    }
    return "returned";
  };
  const path = walk("output");
  return path === "returned" ? { port: undefined, rules: [] } : path;
}

function matches(match: Match, packet: OutboundPacket): boolean {
  const { outInterface, source, destination, destinationPorts, owners = [] } = match;
  const hasNone = [match.inInterface, match.sourcePort, match.states, match.connectionMark, match.mark];
  return (
    hasNone.every((part) => part === undefined) &&
    (match.protocol ?? "tcp") === "tcp" &&
    (outInterface === undefined || isInterface(outInterface, packet.outInterface)) &&
    (source === undefined || isIn(source, packet.source)) &&
    (destination === undefined || isIn(destination, packet.destination) !== (destination.negated ?? false)) &&
    (destinationPorts === undefined ||
      destinationPorts.ranges.some((range) => isInRange(range, packet.port)) !== (destinationPorts.negated ?? false)) &&
    owners.every((owner) => isOwner(owner, packet))
  );
}

function isInterface(pattern: string, name: string): boolean {
  return pattern.endsWith("+") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** Whether an address is in a range. */
export function isIn({ text }: Cidr, address: string): boolean {
  const [base = "", length = ""] = text.split("/");
  const [one, other] = [ipBytes(base), ipBytes(address)];
  if (one === undefined || other === undefined || one.length !== other.length) return false;
  return one.every((byte, index) => {
    const mask = 0xff00 >> Math.min(8, Math.max(0, Number(length) - 8 * index));
    return (byte & mask & 0xff) === ((other[index] ?? 0) & mask & 0xff);
  });
}

function isInRange({ first, last }: PortRange, port: number): boolean {
  return first <= port && port <= last;
}

function isOwner({ kind, id, negated }: Owner, { uid, gid }: OutboundPacket): boolean {
  return ((kind === "uid" ? uid : gid) === id) !== (negated ?? false);
}
