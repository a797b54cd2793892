// SPDX-License-Identifier: Apache-2.0
import { type CaptureOptions, familyNames } from "../options.ts";
import type { RuleSet } from "../rules.ts";
import { type Decision, decisionsFor, type Outcome } from "./decisions.ts";
import { type Condition, isWholeFamily, type PacketClass, toPort } from "./packet-class.ts";

/**
 * What the rules do, in words: for each path of packets the decisions, of which the first that fits counts. Made from
 * the rule set, so that it says what the kernel does; the options give the ports and users their names.
 */
export function renderInterceptionExplanation(set: RuleSet, options: CaptureOptions): string {
  return [head(set, options), ...pathsOf(options).map((path) => renderPath(path, set, options))].join("\n");
}

interface Path {
  readonly title: string;
  readonly packet: PacketClass;
}

function pathsOf({ proxyUids, proxyGids, virtualInterfaces, dns }: CaptureOptions): readonly Path[] {
  const proxy = `Envoy and the agent (${named("user", proxyUids)}, ${named("group", proxyGids)})`;
  const dnsPaths: readonly Path[] =
    dns.kind === "none"
      ? []
      : [
          { title: "DNS queries of applications over UDP", packet: sent("application", "udp", "dns") },
          { title: "DNS queries of applications over TCP", packet: sent("application", "tcp", "dns") },
          { title: "DNS queries of Envoy and the agent", packet: sent("proxy", "udp", "dns") },
        ];
  return [
    {
      title: `Inbound TCP connections${virtualInterfaces.length === 0 ? "" : ", others than those of virtual machines"}`,
      packet: { hook: "prerouting", protocol: "tcp", port: "other", sender: "outside" },
    },
    ...virtualInterfaces.map(
      (inInterface): Path => ({
        title: `TCP connections of virtual machines on ${inInterface}`,
        packet: { hook: "prerouting", protocol: "tcp", port: "other", sender: "outside", inInterface },
      }),
    ),
    { title: "Outbound TCP connections of applications", packet: sent("application", "tcp", "other") },
    { title: "Outbound UDP packets of applications", packet: sent("application", "udp", "other") },
    { title: `TCP connections of ${proxy}`, packet: sent("proxy", "tcp", "other") },
    ...dnsPaths,
  ];
}

function sent(sender: "application" | "proxy", protocol: "tcp" | "udp", port: "dns" | "other"): PacketClass {
  return { hook: "output", protocol, port, sender };
}

function named(what: string, ids: readonly number[]): string {
  return `${ids.length === 1 ? what : `${what}s`} ${ids.join(", ")}`;
}

function head({ families, routes }: RuleSet, { mode, dns }: CaptureOptions): string {
  const names = families.map((family) => familyNames[family]).join(" and ");
  const [route] = routes;
  return [
    `Families: ${names}; mode: ${mode.kind === "tproxy" ? "TPROXY" : "REDIRECT"}`,
    ...(route === undefined
      ? []
      : [`Packets with mark ${String(route.mark)} are delivered locally, by routing table ${String(route.table)}`]),
    ...(dns.kind === "servers" ? [`DNS servers: ${dns.servers.map(({ address }) => address).join(", ")}`] : []),
    "",
  ].join("\n");
}

function renderPath({ title, packet }: Path, set: RuleSet, options: CaptureOptions): string {
  const decisions = decisionsFor(set, options, packet);
  const lines = groupByOutcome(decisions).map((group, index) => {
    const who = whoWords(group.map(({ conditions }) => conditionWords(conditions)));
    return `  ${outcomeWords(group[0]?.outcome, options)}: ${who || (index === 0 ? "all" : "all others")}\n`;
  });
  return `${title}\n${lines.join("")}`;
}

/** The family is said by an address already. */
function conditionWords(conditions: readonly Condition[]): string {
  const hasAddress = conditions.some((one) => one.family !== undefined && !isWholeFamily(one));
  const words = hasAddress ? conditions.filter((one) => !isWholeFamily(one)) : conditions;
  return words.map(({ text }) => text).join(" and ");
}

/** Alternatives; neighbours that differ in the port alone are one. */
function whoWords(alternatives: readonly string[]): string {
  const joined: string[] = [];
  for (const text of alternatives) {
    const last = joined.at(-1) ?? "";
    const onlyPorts = [last, text].every((one) => one.startsWith(toPort) && !one.includes(" and "));
    if (onlyPorts) joined[joined.length - 1] = `${last}, ${text.slice(toPort.length)}`;
    else joined.push(text);
  }
  return joined.join("; ");
}

/** Neighbours with the same outcome; the decision for every other packet stands alone. */
function groupByOutcome(decisions: readonly Decision[]): readonly (readonly Decision[])[] {
  const groups: Decision[][] = [];
  for (const decision of decisions) {
    const group = groups.at(-1);
    const fits =
      decision.conditions.length > 0 && JSON.stringify(group?.[0]?.outcome) === JSON.stringify(decision.outcome);
    if (group === undefined || !fits) groups.push([decision]);
    else group.push(decision);
  }
  return groups;
}

function outcomeWords(outcome: Outcome | undefined, options: CaptureOptions): string {
  if (outcome?.kind !== "redirected") return outcome?.kind === "dropped" ? "dropped" : "not captured";
  const name = portName(outcome.port, options);
  return outcome.keepsSource ? `${name}, with the source address unchanged` : name;
}

function portName(port: number, { inboundPort, outboundPort, dns }: CaptureOptions): string {
  if (port === outboundPort) return `Envoy's outbound port ${String(port)}`;
  if (port === inboundPort) return `Envoy's inbound port ${String(port)}`;
  return dns.kind !== "none" && port === dns.port ? `the DNS proxy's port ${String(port)}` : `port ${String(port)}`;
}
