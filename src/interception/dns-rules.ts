// SPDX-License-Identifier: Apache-2.0
import type { CaptureOptions, DnsCapture, NameServer } from "./options.ts";
import { dnsPort, jump, proxyOwners, rule, singlePort } from "./rule-values.ts";
import type { Match, Rule } from "./rules.ts";

const toDns: Match = { destinationPorts: { ranges: [singlePort(dnsPort)] } };

/**
 * Connection tracking zones: a query that the agent forwards has the same addresses and ports as one that an
 * application sends, so each of the two conversations gets a zone of its own.
 */
const zones = { ofAgent: 1, ofApplications: 2 } as const;

/** What is captured of DNS: everything, or what goes to the servers. */
type Captured = { readonly family?: NameServer["family"]; readonly destination?: Match; readonly source?: Match };

/** TCP and UDP queries of applications go to the DNS proxy; the agent's own have left the chain before. */
export function dnsRules({ dns, families }: CaptureOptions): readonly Rule[] {
  if (dns.kind === "none") return [];
  const redirect = { kind: "redirect", port: dns.port } as const;
  const captured = capturedOf(dns, families);
  return [
    ...jumps(dns, families, { table: "nat", chain: "istio-output" }, "istio-output-dns"),
    ...(["tcp", "udp"] as const).flatMap((protocol) =>
      captured.map(({ family, destination }) =>
        rule(place("nat", "istio-output-dns", family), { protocol, ...toDns, ...destination }, redirect),
      ),
    ),
  ];
}

/** Zones for UDP; TCP needs none. */
export function rawDnsRules(options: CaptureOptions): readonly Rule[] {
  const { dns, families } = options;
  if (dns.kind === "none") return [];
  const query: Match = { protocol: "udp", ...toDns };
  const chain = place("raw", "istio-output-dns");
  return [
    rule({ table: "raw", chain: "output" }, {}, jump("istio-output-dns")),
    ...proxyOwners(options).flatMap((owner) => [
      rule(chain, { ...query, owners: [owner] }, { kind: "set-zone", zone: zones.ofAgent }),
      rule(
        chain,
        { protocol: "udp", sourcePort: dns.port, owners: [owner] },
        { kind: "set-zone", zone: zones.ofApplications },
      ),
    ]),
    ...jumps(dns, families, { table: "raw", chain: "prerouting" }, "istio-inbound"),
    ...capturedOf(dns, families).flatMap(({ family, destination, source }) => [
      rule(
        place("raw", "istio-output-dns", family),
        { ...query, ...destination },
        { kind: "set-zone", zone: zones.ofApplications },
      ),
      rule(
        place("raw", "istio-inbound", family),
        { protocol: "udp", sourcePort: dnsPort, ...source },
        { kind: "set-zone", zone: zones.ofAgent },
      ),
    ]),
  ];
}

type ActiveDns = Exclude<DnsCapture, { kind: "none" }>;

function capturedOf(dns: ActiveDns, families: CaptureOptions["families"]): readonly Captured[] {
  if (dns.kind === "all") return [{}];
  return dns.servers
    .filter(({ family }) => families.includes(family))
    .map(({ family, address }) => {
      const cidr = { family, text: `${address}/${family === "ipv4" ? "32" : "128"}` } as const;
      return { family, destination: { destination: cidr }, source: { source: cidr } };
    });
}

/** A jump for each family that has something to capture. */
function jumps(
  dns: ActiveDns,
  families: CaptureOptions["families"],
  from: Parameters<typeof rule>[0],
  to: "istio-output-dns" | "istio-inbound",
): readonly Rule[] {
  const needed = families.filter((family) =>
    capturedOf(dns, families).some((captured) => captured.family === undefined || captured.family === family),
  );
  if (needed.length === families.length) return [rule(from, {}, jump(to))];
  return needed.map((family) => rule({ ...from, family }, {}, jump(to)));
}

function place<C extends Rule["chain"]>(
  table: Rule["table"],
  chain: C,
  family?: NameServer["family"],
): { readonly table: Rule["table"]; readonly chain: C; readonly family?: NameServer["family"] } {
  return family === undefined ? { table, chain } : { table, chain, family };
}
