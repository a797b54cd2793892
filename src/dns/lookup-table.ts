// SPDX-License-Identifier: Apache-2.0
import { formatIp, ipBytes } from "../lib/net/ip-address.ts";
import type { NamedService, NameTable } from "../model/name-table.ts";
import type { ProxyDomain } from "./dns-config.ts";

/** The addresses that stand behind a name. */
export interface ServiceAddresses {
  readonly service: NamedService;
  /** Four bytes each, in the order given. */
  readonly v4: readonly Uint8Array[];
  /** Sixteen bytes each, in the order given. */
  readonly v6: readonly Uint8Array[];
}

export interface FoundName extends ServiceAddresses {
  /** True: the name is known only with the search domain at its end, so it is an alias of the name without it. */
  readonly hasSearchDomain: boolean;
}

const kubernetes = "Kubernetes";

/** Services that are entered without giving others a turn: far below a millisecond. */
const atOnce = 100;

/** All names by which the mesh's services are known, in lower case with a trailing dot. */
export class LookupTable {
  readonly table: NameTable;
  readonly #names = new Map<string, ServiceAddresses>();
  /** By address; those that are shared belong to the service with the fewest. */
  readonly #owners = new Map<string, ServiceAddresses>();
  #hasWildcards = false;

  constructor(table: NameTable) {
    this.table = table;
  }

  /** The first to claim a name has it. */
  enter(name: string, addresses: ServiceAddresses): void {
    if (name === "." || this.#names.has(name)) return;
    this.#names.set(name, addresses);
    if (name.startsWith("*.")) this.#hasWildcards = true;
  }

  /** Lets the addresses be asked for their host, which is no wildcard. */
  own(addresses: ServiceAddresses): void {
    if (addresses.service.host.startsWith("*")) return;
    const all = [...addresses.v4, ...addresses.v6];
    for (const ip of all.map(formatIp)) {
      const other = this.#owners.get(ip);
      if (other === undefined || all.length < other.v4.length + other.v6.length) this.#owners.set(ip, addresses);
    }
  }

  /**
   * The host that has an address, with a trailing dot.
   * @param ip in its one spelling
   */
  hostOf(ip: string): string | undefined {
    const owner = this.#owners.get(ip);
    return owner === undefined ? undefined : fullName(owner.service.host);
  }

  /** The names with what is behind them. */
  names(): ReadonlyMap<string, ServiceAddresses> {
    return this.#names;
  }

  /**
   * The name itself, or else the longest wildcard that covers it; each also with the search domain at its end.
   * @param name in lower case with a trailing dot
   * @param searchDomain in lower case with a trailing dot
   */
  find(name: string, searchDomain: string | undefined): FoundName | undefined {
    const found = this.#exact(name, searchDomain);
    if (found !== undefined || !this.#hasWildcards) return found;
    for (let dot = name.indexOf("."); dot >= 0 && dot < name.length - 1; dot = name.indexOf(".", dot + 1)) {
      const covering = this.#exact(`*${name.slice(dot)}`, searchDomain);
      if (covering !== undefined) return covering;
    }
    return undefined;
  }

  #exact(name: string, searchDomain: string | undefined): FoundName | undefined {
    const known = this.#names.get(name);
    if (known !== undefined) return { ...known, hasSearchDomain: false };
    if (searchDomain === undefined || !name.endsWith(`.${searchDomain}`)) return undefined;
    const bare = name.slice(0, -searchDomain.length);
    const aliased = bare.endsWith(`.${searchDomain}`) ? undefined : this.#names.get(bare);
    return aliased === undefined ? undefined : { ...aliased, hasSearchDomain: true };
  }
}

/**
 * Enters each service under all its names. A host that a service states is that service's, whatever short form of
 * another one looks the same; a service without an address is left out.
 * @param pause gives others a turn; called again and again while a large table is entered
 */
export async function buildLookupTable(
  table: NameTable,
  domain: ProxyDomain,
  pause: () => Promise<void>,
): Promise<LookupTable> {
  const lookup = new LookupTable(table);
  const reachable: ServiceAddresses[] = [];
  for (const [index, service] of table.entries()) {
    const addresses = addressesOf(service);
    if (addresses !== undefined) {
      reachable.push(addresses);
      lookup.enter(fullName(service.host), addresses);
      lookup.own(addresses);
    }
    if (index % atOnce === atOnce - 1) await pause();
  }
  for (const [index, addresses] of reachable.entries()) {
    for (const name of otherNames(addresses.service, domain)) lookup.enter(name, addresses);
    if (index % atOnce === atOnce - 1) await pause();
  }
  return lookup;
}

/** Undefined when nothing in the list is an address. */
function addressesOf(service: NamedService): ServiceAddresses | undefined {
  const parsed = service.addresses.map((text) => ipBytes(text)).filter((bytes) => bytes !== undefined);
  const v4 = parsed.filter(({ length }) => length === 4);
  const v6 = parsed.filter(({ length }) => length === 16);
  return parsed.length === 0 ? undefined : { service, v4, v6 };
}

/** The forms that Kubernetes' own resolver knows for a service of the proxy's domain. Source: Istio's agent, observed */
function otherNames(service: NamedService, { namespace, domain }: ProxyDomain): readonly string[] {
  const { registry, shortName, altHosts } = service;
  if (registry !== kubernetes || !fullName(service.host).endsWith(fullName(`.${domain}`))) return [];
  const names = altHosts.map(fullName);
  if (shortName === "") return names;
  const [kind = ""] = domain.split(".");
  names.push(fullName(`${shortName}.${service.namespace}`), fullName(`${shortName}.${service.namespace}.${kind}`));
  if (service.namespace === namespace) names.push(fullName(shortName));
  return names;
}

/** A name as it is looked up: in lower case with one trailing dot. */
export function fullName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith(".") ? lower : `${lower}.`;
}
