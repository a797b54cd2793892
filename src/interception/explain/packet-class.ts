// SPDX-License-Identifier: Apache-2.0
import { type CaptureOptions, type Cidr, familyNames, type IpFamily, type PortRange } from "../options.ts";
import { dnsPort, loopbackOf } from "../rule-values.ts";
import type { Owner, Rule } from "../rules.ts";

/** First packets of connections that are described together. They have no mark. */
export interface PacketClass {
  readonly hook: "prerouting" | "output";
  readonly protocol: "tcp" | "udp";
  /** Destination port 53, or any other. */
  readonly port: "dns" | "other";
  /** `outside`: a virtual machine on `inInterface`, or without that another machine. */
  readonly sender: "outside" | "application" | "proxy";
  readonly inInterface?: string;
}

/** One thing that has to be true of a packet. Two are the same if their texts are. */
export interface Condition {
  /** `over eth1`, `to 10.0.0.0/8` */
  readonly text: string;
  /** Packets of the other family never fulfil it. */
  readonly family?: IpFamily;
  /** A packet has one interface for each direction: of two names, one at most is true. */
  readonly interfaceName?: string;
}

type Conditions = readonly Condition[] | undefined;

/** Whether each packet of a family fulfils it. */
export function isWholeFamily({ text, family }: Condition): boolean {
  return family !== undefined && text === wholeFamily(family).text;
}

function wholeFamily(family: IpFamily): Condition {
  return { text: `over ${familyNames[family]}`, family };
}

/** Whether no packet fulfils both. */
export function excludeEachOther(one: Condition, other: Condition): boolean {
  if (one.family !== undefined && other.family !== undefined && one.family !== other.family) return true;
  const names = [one.interfaceName, other.interfaceName].filter((name) => name !== undefined && !name.endsWith("+"));
  return names.length === 2 && names[0] !== names[1];
}

/**
 * What has to be true of a packet of the class, besides what is known of the class, for the rule to fit.
 * @returns conditions that all have to hold, none if each packet fits; undefined if no packet fits
 */
export function conditionsOf(rule: Rule, packet: PacketClass, options: CaptureOptions): Conditions {
  const { match, family } = rule;
  const parts = [
    interfaceCondition(match.inInterface, packet, options),
    match.outInterface === undefined ? [] : [{ text: `over ${match.outInterface}`, interfaceName: match.outInterface }],
    match.protocol === undefined || match.protocol === packet.protocol ? [] : undefined,
    sourceCondition(match.source, packet),
    destinationCondition(match.destination, packet, options),
    match.sourcePort === undefined ? [] : undefined,
    portCondition(match.destinationPorts, packet),
    match.states === undefined ? [] : stateCondition(match.states),
    ...(match.owners ?? []).map((owner) => ownerCondition(owner, packet, options)),
    match.mark === undefined || match.mark.negated === true ? [] : undefined,
    match.connectionMark === undefined ? [] : undefined,
    hasAddress(rule) || family === "both" || options.families.length === 1 ? [] : [wholeFamily(family)],
  ];
  const known = parts.filter((part) => part !== undefined);
  return known.length < parts.length ? undefined : joinOwners(known.flat());
}

function interfaceCondition(
  name: string | undefined,
  { inInterface }: PacketClass,
  { virtualInterfaces }: CaptureOptions,
): Conditions {
  if (name === undefined) return [];
  if (inInterface !== undefined) return name === inInterface ? [] : undefined;
  // what arrives on lo was sent by the machine itself
  return name === "lo" || virtualInterfaces.includes(name) ? undefined : [{ text: `on ${name}`, interfaceName: name }];
}

/** Only Envoy sends from the addresses that rules look for. */
function sourceCondition(source: Cidr | undefined, { sender }: PacketClass): Conditions {
  if (source === undefined) return [];
  return sender === "proxy" ? [{ text: `from ${source.text}`, family: source.family }] : undefined;
}

function destinationCondition(
  destination: Rule["match"]["destination"],
  { sender }: PacketClass,
  options: CaptureOptions,
): Conditions {
  if (destination === undefined) return [];
  const { family, text, negated } = destination;
  if (negated !== true) return [{ text: `to ${text}`, family }];
  // nothing from outside is for loopback
  const isCertain = sender === "outside" && text === loopbackOf(options, family).text;
  if (isCertain) return options.families.length === 1 ? [] : [wholeFamily(family)];
  return [{ text: `to an ${familyNames[family]} address outside ${text}`, family }];
}

/** How a condition on the destination port begins. */
export const toPort = "to port ";

function portCondition(ports: Rule["match"]["destinationPorts"], packet: PacketClass): Conditions {
  if (ports === undefined) return [];
  const isDns = ({ first, last }: PortRange): boolean => first <= dnsPort && last >= dnsPort;
  const negated = ports.negated === true;
  if (packet.port === "dns") return ports.ranges.some(isDns) === negated ? undefined : [];
  const others = ports.ranges.filter(({ first, last }) => first !== dnsPort || last !== dnsPort);
  if (others.length === 0) return negated ? [] : undefined;
  const text = others.map(({ first, last }) =>
    first === last ? String(first) : `${String(first)} to ${String(last)}`,
  );
  return [{ text: `${negated ? "not " : ""}${toPort}${text.join(", ")}` }];
}

/** The classes are of new connections. */
function stateCondition(states: NonNullable<Rule["match"]["states"]>): Conditions {
  return states.includes("invalid") ? [{ text: "invalid for connection tracking" }] : undefined;
}

function ownerCondition({ kind, id, negated }: Owner, packet: PacketClass, options: CaptureOptions): Conditions {
  const isProxy = (kind === "uid" ? options.proxyUids : options.proxyGids).includes(id);
  if (isProxy) return (packet.sender === "proxy") === (negated !== true) ? [] : undefined;
  return [{ text: `${negated === true ? notOf : "of "}${kind === "uid" ? "user" : "group"} ${String(id)}` }];
}

const notOf = "not of ";

/** `not of group 1`, `not of group 2` as one condition. */
function joinOwners(conditions: readonly Condition[]): readonly Condition[] {
  const owners = conditions.filter(({ text }) => text.startsWith(notOf));
  if (owners.length < 2) return conditions;
  const names = owners.map(({ text }) => text.slice(notOf.length));
  return [...conditions.filter((one) => !owners.includes(one)), { text: `${notOf}${names.join(" or ")}` }];
}

function hasAddress({ match }: Rule): boolean {
  return match.source !== undefined || match.destination !== undefined;
}
