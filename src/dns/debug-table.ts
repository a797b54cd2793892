// SPDX-License-Identifier: Apache-2.0
import { formatIp } from "../lib/net/ip-address.ts";
import type { LookupTable } from "./lookup-table.ts";

/** As pilot-agent's `/debug/ndsz` has them: empty fields are left out. */
interface DebugEntry {
  readonly ips?: readonly string[];
  readonly registry?: string;
  readonly shortname?: string;
  readonly namespace?: string;
  readonly alt_hosts?: readonly string[];
}

/**
 * The table as it came, and every name that is answered, with its trailing dot; each with the registry it is from.
 * Source: Istio's agent, `/debug/ndsz`
 */
export function debugTable(lookup: LookupTable): { readonly table: Readonly<Record<string, DebugEntry>> } {
  const entries = new Map<string, DebugEntry>();
  for (const [name, { service, v4, v6 }] of lookup.names()) {
    entries.set(name, debugEntry({ ips: [...v4, ...v6].map(formatIp), registry: service.registry }));
  }
  for (const { host, addresses, registry, shortName, namespace, altHosts } of lookup.table) {
    const texts = { registry, shortname: shortName, namespace };
    entries.set(host, debugEntry({ ips: addresses, ...texts, alt_hosts: altHosts }));
  }
  return { table: Object.fromEntries(entries) };
}

function debugEntry({
  ips = [],
  registry = "",
  shortname = "",
  namespace = "",
  alt_hosts = [],
}: DebugEntry): DebugEntry {
  return {
    ...(ips.length === 0 ? {} : { ips }),
    ...(registry === "" ? {} : { registry }),
    ...(shortname === "" ? {} : { shortname }),
    ...(namespace === "" ? {} : { namespace }),
    ...(alt_hosts.length === 0 ? {} : { alt_hosts }),
  };
}
