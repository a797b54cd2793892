// SPDX-License-Identifier: Apache-2.0
import type { CaptureOptions, Cidr, IpFamily, PortRange } from "./options.ts";
import type { Action, BuiltInChain, Match, OwnChain, Owner, Rule, TableName } from "./rules.ts";

/*
 * What the parts of the rule set share: shorthands, and the fixed values of the interface between the rules, Envoy and
 * the agent. Source: Istio's traffic redirection, whose rules these are; Envoy's configuration depends on the addresses.
 */

/** Envoy's connections to the application come from here; they are not captured a second time. */
const inboundPassthrough: Readonly<Record<IpFamily, Cidr>> = {
  ipv4: { family: "ipv4", text: "127.0.0.6/32" },
  ipv6: { family: "ipv6", text: "::6/128" },
};
const ipv6Loopback: Cidr = { family: "ipv6", text: "::1/128" };

export const dnsPort = 53;

export function passthroughSource(family: IpFamily): Cidr {
  return inboundPassthrough[family];
}

/** The addresses that applications use for themselves. */
export function loopbackOf(options: CaptureOptions, family: IpFamily): Cidr {
  return family === "ipv4" ? options.ipv4Loopback : ipv6Loopback;
}

/** Users first, then groups, each in the order of the options. */
export function proxyOwners({ proxyUids, proxyGids }: CaptureOptions): readonly Owner[] {
  return [...proxyUids.map((id): Owner => ({ kind: "uid", id })), ...proxyGids.map(gidOwner)];
}

export function gidOwner(id: number): Owner {
  return { kind: "gid", id };
}

export function not(owner: Owner): Owner {
  return { ...owner, negated: true };
}

export function singlePort(port: number): PortRange {
  return { first: port, last: port };
}

interface RulePlace {
  readonly table: TableName;
  readonly chain: BuiltInChain | OwnChain;
  readonly family?: IpFamily;
  readonly insertAt?: number;
}

/** A rule at the end of the chain, for both families unless one is given. */
export function rule(place: RulePlace, match: Match, action: Action): Rule {
  return { family: "both", ...place, match, action };
}

export function jump(chain: OwnChain): Action {
  return { kind: "jump", chain };
}

export const returns: Action = { kind: "return" };
