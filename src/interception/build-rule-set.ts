// SPDX-License-Identifier: Apache-2.0
import { dnsRules, rawDnsRules } from "./dns-rules.ts";
import type { CaptureOptions, Cidr } from "./options.ts";
import {
  dnsPort,
  gidOwner,
  jump,
  loopbackOf,
  not,
  passthroughSource,
  proxyOwners,
  returns,
  rule,
  singlePort,
} from "./rule-values.ts";
import type { Match, Owner, PolicyRoute, Rule, RuleSet } from "./rules.ts";
import { loopMarkRules, tproxyExcludedInterfaces, tproxyInbound } from "./tproxy-rules.ts";

/**
 * The rules, routes and addresses that capture what the options ask for.
 * Source: the rules of Istio's `istio-iptables`, in its order; docs/interception.md lists where they differ
 */
export function buildRuleSet(options: CaptureOptions): RuleSet {
  const { mode, families } = options;
  const tproxy = mode.kind === "tproxy" ? mode : undefined;
  return {
    families,
    rules: [
      ...excludedInterfaces(options),
      ...(tproxy === undefined ? [] : tproxyExcludedInterfaces(options)),
      ...options.virtualInterfaces.map((inInterface) =>
        rule({ table: "nat", chain: "prerouting", insertAt: 1 }, { inInterface }, returns),
      ),
      ...dropInvalidRules(options),
      ...fixedTargets(options),
      ...(tproxy === undefined ? redirectInbound(options) : tproxyInbound(options, tproxy)),
      rule({ table: "nat", chain: "output" }, {}, jump("istio-output")),
      ...excludedOutboundPorts(options),
      ...ownerRules(options),
      ...ownerGroupRules(options),
      ...dnsRules(options),
      ...excludedDestinations(options),
      ...capturedDestinations(options),
      ...(tproxy === undefined ? [] : loopMarkRules(options, tproxy)),
      ...rawDnsRules(options),
    ],
    routes: policyRoutes(options),
    loopbackAddresses: families.includes("ipv6") ? [passthroughSource("ipv6").text] : [],
  };
}

function excludedInterfaces(options: CaptureOptions): readonly Rule[] {
  return options.excludedInterfaces.flatMap((name) => [
    rule({ table: "nat", chain: "prerouting" }, { inInterface: name }, returns),
    rule({ table: "nat", chain: "output" }, { outInterface: name }, returns),
  ]);
}

function dropInvalidRules({ dropInvalid }: CaptureOptions): readonly Rule[] {
  if (!dropInvalid) return [];
  return [
    rule({ table: "mangle", chain: "prerouting" }, { states: ["invalid"] }, jump("istio-drop")),
    rule({ table: "mangle", chain: "istio-drop" }, {}, { kind: "drop" }),
  ];
}

/** The chains that others jump to, and tunnelled connections, which reach Envoy by themselves. */
function fixedTargets({ tunnelPort, outboundPort, inboundPort }: CaptureOptions): readonly Rule[] {
  const tcp: Match = { protocol: "tcp" };
  return [
    rule({ table: "nat", chain: "istio-inbound" }, { ...tcp, ...toPorts(tunnelPort) }, returns),
    rule({ table: "nat", chain: "istio-redirect" }, tcp, { kind: "redirect", port: outboundPort }),
    rule({ table: "nat", chain: "istio-in-redirect" }, tcp, { kind: "redirect", port: inboundPort }),
  ];
}

function redirectInbound({ inbound }: CaptureOptions): readonly Rule[] {
  if (inbound.kind === "none") return [];
  const place = { table: "nat", chain: "istio-inbound" } as const;
  const toEnvoy = jump("istio-in-redirect");
  return [
    rule({ table: "nat", chain: "prerouting" }, { protocol: "tcp" }, jump("istio-inbound")),
    ...(inbound.kind === "all"
      ? [
          ...inbound.excludedPorts.map((range) =>
            rule(place, { protocol: "tcp", destinationPorts: { ranges: [range] } }, returns),
          ),
          rule(place, { protocol: "tcp" }, toEnvoy),
        ]
      : inbound.ports.map((range) => rule(place, { protocol: "tcp", destinationPorts: { ranges: [range] } }, toEnvoy))),
  ];
}

const output = { table: "nat", chain: "istio-output" } as const;

function excludedOutboundPorts({ outbound }: CaptureOptions): readonly Rule[] {
  return outbound.excludedPorts.flatMap((range) =>
    (["tcp", "udp"] as const).map((protocol) =>
      rule(output, { protocol, destinationPorts: { ranges: [range] } }, returns),
    ),
  );
}

/**
 * What Envoy and the agent send is not captured, except that a connection over `lo` to an address of the pod goes to
 * Envoy's inbound port, as one from outside would. What applications send to themselves over `lo` is not captured,
 * unless a captured address range is loopback.
 *
 * One user and one group are two blocks, as in the reference. Several owners are one block: in the reference each
 * owner's "not this owner" hides the rules of the owners after it.
 */
function ownerRules(options: CaptureOptions): readonly Rule[] {
  const owners = proxyOwners(options);
  const blocks = owners.length > 2 ? [owners] : owners.map((owner) => [owner]);
  return [
    ...options.families.map((family) =>
      rule({ ...output, family }, { outInterface: "lo", source: passthroughSource(family) }, returns),
    ),
    ...blocks.flatMap((block) => ownerBlock(options, block)),
  ];
}

function ownerBlock(options: CaptureOptions, owners: readonly Owner[]): readonly Rule[] {
  const { families, tunnelPort, outbound, dns } = options;
  const capturesDns = dns.kind !== "none";
  const otherPorts = capturesDns ? notToPorts(dnsPort, tunnelPort) : notToPorts(tunnelPort);
  const selfCalls = owners.flatMap((owner) =>
    families.map((family) =>
      rule(
        { ...output, family },
        {
          outInterface: "lo",
          destination: { ...loopbackOf(options, family), negated: true },
          protocol: "tcp",
          ...otherPorts,
          owners: [owner],
        },
        jump("istio-in-redirect"),
      ),
    ),
  );
  const ofApplications: Match = {
    outInterface: "lo",
    ...(capturesDns ? { protocol: "tcp", ...notToPorts(dnsPort) } : {}),
    owners: owners.map(not),
  };
  const capturesLoopback = outbound.destinations.kind === "cidrs" && outbound.destinations.cidrs.some(isLoopback);
  return [
    ...selfCalls,
    ...(capturesLoopback ? [] : [rule(output, ofApplications, returns)]),
    ...owners.map((owner) => rule(output, { owners: [owner] }, returns)),
  ];
}

function ownerGroupRules({ ownerGroups }: CaptureOptions): readonly Rule[] {
  if (ownerGroups.kind === "all")
    return ownerGroups.excludedGids.map((gid) => rule(output, { owners: [gidOwner(gid)] }, returns));
  return [rule(output, { owners: ownerGroups.gids.map((gid) => not(gidOwner(gid))) }, returns)];
}

function excludedDestinations(options: CaptureOptions): readonly Rule[] {
  const ofFamily = ({ family }: Cidr): boolean => options.families.includes(family);
  const loopback = options.families.map((family) => loopbackOf(options, family));
  return [...loopback, ...options.outbound.excludedCidrs.filter(ofFamily)].map((destination) =>
    rule({ ...output, family: destination.family }, { destination }, returns),
  );
}

function capturedDestinations({ families, outbound, virtualInterfaces }: CaptureOptions): readonly Rule[] {
  const toEnvoy = jump("istio-redirect");
  const first = { table: "nat", chain: "prerouting", insertAt: 1 } as const;
  const ports = outbound.ports.map((range) =>
    rule(output, { protocol: "tcp", destinationPorts: { ranges: [range] } }, toEnvoy),
  );
  if (outbound.destinations.kind === "all") {
    const fromMachines = virtualInterfaces.map((inInterface) => rule(first, { inInterface }, toEnvoy));
    return [...ports, rule(output, {}, toEnvoy), ...fromMachines];
  }
  const cidrs = outbound.destinations.cidrs.filter(({ family }) => families.includes(family));
  const destinations = cidrs.flatMap((destination) => [
    ...virtualInterfaces.map((inInterface) =>
      rule({ ...first, family: destination.family }, { inInterface, destination }, toEnvoy),
    ),
    rule({ ...output, family: destination.family }, { destination }, toEnvoy),
  ]);
  return [...ports, ...destinations];
}

function policyRoutes({ families, mode, inbound }: CaptureOptions): readonly PolicyRoute[] {
  if (mode.kind !== "tproxy" || inbound.kind === "none") return [];
  return families.map((family) => ({ family, mark: mode.mark, table: mode.routeTable }));
}

function isLoopback({ family, text }: Cidr): boolean {
  return family === "ipv4" ? text.startsWith("127.") : text.startsWith("::1/");
}

function toPorts(...ports: readonly number[]): Match {
  return { destinationPorts: { ranges: ports.map(singlePort) } };
}

function notToPorts(...ports: readonly number[]): Match {
  return { destinationPorts: { ranges: ports.map(singlePort), negated: true } };
}
