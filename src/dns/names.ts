// SPDX-License-Identifier: Apache-2.0
import { ObservableValue } from "../lib/async/observable-value.ts";
import type { Deps } from "../lib/deps.ts";
import { formatIp } from "../lib/net/ip-address.ts";
import type { NameTable } from "../model/name-table.ts";
import type { ProxyDomain } from "./dns-config.ts";
import { buildLookupTable, type LookupTable } from "./lookup-table.ts";

/** The current names of the mesh. */
export interface Names {
  /** Empty before the first table. */
  readonly lookup: ObservableValue<LookupTable>;
  /** Resolves when queries are answered from this table. The change is atomic. */
  replace(table: NameTable, signal: AbortSignal): Promise<void>;
  /** As pilot-agent shows it; undefined before the first table. */
  debugTable(): DebugTable | undefined;
}

export function createNames(domain: ProxyDomain, { clock, log }: Pick<Deps, "clock" | "log">): Names {
  const lookup = new ObservableValue<LookupTable>();
  return {
    lookup,
    async replace(table, signal) {
      const built = await buildLookupTable(table, domain, () => clock.delay(0, signal));
      lookup.set(built);
      log.debug("name table updated", { services: table.length, names: built.names().size });
    },
    debugTable: () => (lookup.current === undefined ? undefined : debugTable(lookup.current)),
  };
}

export interface DebugTable {
  readonly table: Readonly<Record<string, DebugEntry>>;
}

/** As in pilot-agent's `/debug/ndsz`: empty fields are left out. */
interface DebugEntry {
  readonly ips?: readonly string[];
  readonly registry?: string;
  readonly shortname?: string;
  readonly namespace?: string;
  readonly alt_hosts?: readonly string[];
}

/**
 * The table as it came, and every name that is resolved, with its trailing dot; each with its registry.
 * Source: Istio's agent, `/debug/ndsz`
 */
export function debugTable(lookup: LookupTable): DebugTable {
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
