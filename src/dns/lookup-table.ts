// SPDX-License-Identifier: Apache-2.0
import { formatIp, ipBytes } from "../lib/net/ip-address.ts";
import type { NamedService, NameTable } from "../model/name-table.ts";
import type { ProxyDomain } from "./dns-config.ts";

/** The addresses of a service. */
export interface ServiceAddresses {
  readonly service: NamedService;
  /** Four bytes each, in the order given. */
  readonly v4: readonly Uint8Array[];
  /** Sixteen bytes each, in the order given. */
  readonly v6: readonly Uint8Array[];
}

export interface FoundName extends ServiceAddresses {
  /** The queried name ends in the search domain, and is an alias of the name without it. */
  readonly hasSearchDomain: boolean;
}

const kubernetes = "Kubernetes";

/** Services that are added without a pause: far below a millisecond. */
const servicesPerBlock = 100;

/** All names of the mesh's services, in lower case with a trailing dot. */
export class LookupTable {
  readonly table: NameTable;
  readonly #names = new Map<string, ServiceAddresses>();
  /** The service of each address; a shared address belongs to the service with the fewest addresses. */
  readonly #owners = new Map<string, ServiceAddresses>();
  #hasWildcards = false;

  constructor(table: NameTable) {
    this.table = table;
  }

  /** Adds a name, unless an earlier service has it. */
  add(name: string, addresses: ServiceAddresses): void {
    if (name === "." || this.#names.has(name)) return;
    this.#names.set(name, addresses);
    if (name.startsWith("*.")) this.#hasWildcards = true;
  }

  /** Adds the addresses for reverse lookup; a wildcard is not a host. */
  addReverse(addresses: ServiceAddresses): void {
    if (addresses.service.host.startsWith("*")) return;
    const all = [...addresses.v4, ...addresses.v6];
    for (const ip of all.map(formatIp)) {
      const other = this.#owners.get(ip);
      if (other === undefined || all.length < other.v4.length + other.v6.length) this.#owners.set(ip, addresses);
    }
  }

  /**
   * The host that has an address, with a trailing dot.
   * @param ip in its canonical spelling
   */
  hostOf(ip: string): string | undefined {
    const owner = this.#owners.get(ip);
    return owner === undefined ? undefined : fullName(owner.service.host);
  }

  /** All names with their addresses. */
  names(): ReadonlyMap<string, ServiceAddresses> {
    return this.#names;
  }

  /**
   * The name, or else the longest wildcard that matches it; both also with the search domain at the end.
   * @param name in lower case with a trailing dot
   * @param searchDomain in lower case with a trailing dot
   */
  find(name: string, searchDomain: string | undefined): FoundName | undefined {
    const found = this.#exact(name, searchDomain);
    if (found !== undefined || !this.#hasWildcards) return found;
    for (let dot = name.indexOf("."); dot >= 0 && dot < name.length - 1; dot = name.indexOf(".", dot + 1)) {
      const wildcard = this.#exact(`*${name.slice(dot)}`, searchDomain);
      if (wildcard !== undefined) return wildcard;
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
 * Adds each service with all its names. Hosts take precedence over short forms of other services. A service without an
 * address is left out.
 * @param pause lets other work run; called repeatedly while a large table is built
 */
export async function buildLookupTable(
  table: NameTable,
  domain: ProxyDomain,
  pause: () => Promise<void>,
): Promise<LookupTable> {
  const lookup = new LookupTable(table);
  const withAddress: ServiceAddresses[] = [];
  for (const [index, service] of table.entries()) {
    const addresses = addressesOf(service);
    if (addresses !== undefined) {
      withAddress.push(addresses);
      lookup.add(fullName(service.host), addresses);
      lookup.addReverse(addresses);
    }
    if (index % servicesPerBlock === servicesPerBlock - 1) await pause();
  }
  for (const [index, addresses] of withAddress.entries()) {
    for (const name of otherNames(addresses.service, domain)) lookup.add(name, addresses);
    if (index % servicesPerBlock === servicesPerBlock - 1) await pause();
  }
  return lookup;
}

/** Undefined when the service has no valid address. */
function addressesOf(service: NamedService): ServiceAddresses | undefined {
  const parsed = service.addresses.map((text) => ipBytes(text)).filter((bytes) => bytes !== undefined);
  const v4 = parsed.filter(({ length }) => length === 4);
  const v6 = parsed.filter(({ length }) => length === 16);
  return parsed.length === 0 ? undefined : { service, v4, v6 };
}

/** The short forms and other hosts of a Kubernetes service in the proxy's domain. Source: Istio's agent, observed */
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

/** A name in the form of the table: lower case with one trailing dot. */
export function fullName(name: string): string {
  const lower = name.toLowerCase();
  return lower.endsWith(".") ? lower : `${lower}.`;
}
