// SPDX-License-Identifier: Apache-2.0
import { selfCallMark } from "../model/self-call-mark.ts";
import type { CaptureMode, CaptureOptions } from "./options.ts";
import { jump, loopbackOf, passthroughSource, proxyOwners, returns, rule } from "./rule-values.ts";
import type { Action, Match, Rule } from "./rules.ts";

/*
 * TPROXY mode: inbound connections reach Envoy with their addresses unchanged. The mark says to the policy route which
 * packets are for Envoy's socket. Outbound connections are redirected as in the other mode.
 */

type Tproxy = Extract<CaptureMode, { kind: "tproxy" }>;

const mangle = (chain: Rule["chain"]): { readonly table: "mangle"; readonly chain: Rule["chain"] } => ({
  table: "mangle",
  chain,
});

export function tproxyExcludedInterfaces({ excludedInterfaces }: CaptureOptions): readonly Rule[] {
  return excludedInterfaces.flatMap((name) => [
    rule(mangle("prerouting"), { inInterface: name }, returns),
    rule(mangle("output"), { outInterface: name }, returns),
  ]);
}

export function tproxyInbound(options: CaptureOptions, { mark }: Tproxy): readonly Rule[] {
  const { inbound, families, inboundPort: port, virtualInterfaces } = options;
  if (inbound.kind === "none") return [];
  const place = mangle("istio-inbound");
  const captured: readonly Match[] =
    inbound.kind === "all"
      ? [{ protocol: "tcp" }]
      : inbound.ports.map((range) => ({ protocol: "tcp", destinationPorts: { ranges: [range] } }));
  const excluded = inbound.kind === "all" ? inbound.excludedPorts : [];
  return [
    rule(mangle("istio-divert"), {}, { kind: "set-mark", mark }),
    rule(mangle("istio-divert"), {}, { kind: "accept" }),
    ...families.map((family) =>
      rule(
        { ...mangle("istio-tproxy"), family },
        { destination: { ...loopbackOf(options, family), negated: true }, protocol: "tcp" },
        { kind: "tproxy", port, mark },
      ),
    ),
    // what virtual machines send is outbound: the rules of nat redirect it, which come later
    ...virtualInterfaces.map((inInterface) => rule(mangle("prerouting"), { inInterface }, returns)),
    rule(mangle("prerouting"), { protocol: "tcp" }, jump("istio-inbound")),
    ...excluded.map((range) => rule(place, { protocol: "tcp", destinationPorts: { ranges: [range] } }, returns)),
    ...captured.flatMap((match) => [
      rule(place, { ...match, states: ["related", "established"] }, jump("istio-divert")),
      rule(place, match, jump("istio-tproxy")),
    ]),
  ];
}

/** Connections that came in with the mark keep it in both directions; what must not be diverted again returns first. */
export function loopMarkRules(options: CaptureOptions, { mark }: Tproxy): readonly Rule[] {
  const { families } = options;
  const tcp: Match = { protocol: "tcp" };
  const viaLoopback: Match = { ...tcp, outInterface: "lo" };
  const marked: Match = { mark: { value: mark } };
  const setSelfCallMark: Action = { kind: "set-mark", mark: selfCallMark };
  const first = (insertAt: number): Parameters<typeof rule>[0] => ({ ...mangle("istio-inbound"), insertAt });
  return [
    rule(mangle("prerouting"), { ...tcp, ...marked }, { kind: "save-mark" }),
    rule(mangle("output"), { ...viaLoopback, ...marked }, returns),
    ...proxyOwners(options).flatMap((owner) =>
      families.map((family) =>
        rule(
          { ...mangle("output"), family },
          { destination: { ...loopbackOf(options, family), negated: true }, ...viaLoopback, owners: [owner] },
          setSelfCallMark,
        ),
      ),
    ),
    rule(mangle("output"), { ...tcp, connectionMark: mark }, { kind: "restore-mark" }),
    rule(first(1), { ...tcp, ...marked }, returns),
    ...families.map((family) =>
      rule({ ...first(2), family }, { ...tcp, source: passthroughSource(family), inInterface: "lo" }, returns),
    ),
    rule(first(3), { ...tcp, inInterface: "lo", mark: { value: selfCallMark, negated: true } }, returns),
  ];
}
