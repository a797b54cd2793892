// SPDX-License-Identifier: Apache-2.0
import type { NamedService } from "../model/name-table.ts";
import type { ProxyDomain } from "./dns-config.ts";
import { HashIndex, HashSet, hashOfBytes, hashOfText, type RankOf } from "./hash-index.ts";
import type { ServiceStore } from "./service-store.ts";

/** The addresses of a name: views that are valid until the next name table replaces this one. */
export interface FoundName {
  /** Four bytes each, in the order given. */
  readonly v4: readonly Uint8Array[];
  /** Sixteen bytes each, in the order given. */
  readonly v6: readonly Uint8Array[];
  /** The queried name ends in the search domain, and is an alias of the name without it. */
  readonly hasSearchDomain: boolean;
}

/** The names of a service without its addresses. */
export type ServiceNames = Omit<NamedService, "addresses">;

const kubernetes = "Kubernetes";

/** A host has precedence over an equal short form or other host of another service. */
const rankOfHost = 0;
const rankOfOtherName = 1;

export interface LookupTableSize {
  /** The most names and addresses that are added. */
  readonly names: number;
  readonly addresses: number;
  /** The most names above others that are known. */
  readonly parents: number;
}

export interface LookupTableOptions {
  readonly domain: ProxyDomain;
  /** Of the hashes. */
  readonly seed: number;
}

/**
 * All names of the mesh's services, in lower case with a trailing dot. Hosts have precedence over short forms of other
 * services. A service without an address is left out.
 */
export class LookupTable {
  readonly store: ServiceStore;
  readonly #domain: ProxyDomain;
  readonly #seed: number;
  readonly #names: HashIndex;
  /** The service of each address; a shared address belongs to the service with the fewest addresses. */
  readonly #owners: HashIndex;
  /** Hashes of the names that others are below. */
  readonly #parents: HashSet;
  #hasWildcards = false;

  constructor(store: ServiceStore, size: LookupTableSize, { domain, seed }: LookupTableOptions) {
    this.store = store;
    this.#domain = domain;
    this.#seed = seed;
    this.#names = new HashIndex(size.names);
    this.#owners = new HashIndex(size.addresses);
    this.#parents = new HashSet(size.parents);
  }

  /** Adds the host of a service. To be called for each service, in order, before `addOtherNames` for any. */
  addHost(id: number): void {
    const host = this.store.host(id);
    const name = fullName(host);
    const earlier = this.#idOf(name);
    if (earlier !== undefined && earlier !== id && this.store.host(earlier) === host) {
      this.store.replace(earlier, id);
      return;
    }
    if (name === "." || this.#addressCount(id) === 0) return;
    this.#names.insert(hashOfText(this.#seed, name), id, rankOfHost, this.#nameRank(name));
    this.#addParents(name);
    if (name.startsWith("*.")) this.#hasWildcards = true;
  }

  #addParents(name: string): void {
    for (let dot = name.indexOf("."); dot >= 0 && dot < name.length - 1; dot = name.indexOf(".", dot + 1)) {
      // those above a known one are known
      if (!this.#parents.add(hashOfText(this.#seed, name, dot + 1))) return;
    }
  }

  /** Adds the short forms and other hosts of a service, and its addresses for reverse lookup. */
  addOtherNames(id: number): void {
    if (!this.store.has(id)) return;
    const addressCount = this.#addressCount(id);
    if (addressCount === 0) return;
    const names = this.store.names(id);
    for (const [index, name] of otherNames(names, this.#domain).entries()) {
      if (name === ".") continue;
      this.#names.insert(hashOfText(this.#seed, name), id, rankOfOtherName, this.#nameRank(name));
      // other hosts come before short forms
      if (index < names.altHosts.length) this.#addParents(name);
      if (name.startsWith("*.")) this.#hasWildcards = true;
    }
    // A wildcard is not a host.
    if (names.host.startsWith("*")) return;
    this.store.visitAddresses(id, (within, start, end) => {
      const rankOf = this.#ownerRank(within, start, end);
      this.#owners.insert(hashOfBytes(this.#seed, within, start, end), id, addressCount, rankOf);
    });
  }

  /** The host that has an address, with a trailing dot. */
  hostOf(address: Uint8Array): string | undefined {
    const owner = this.#owners.find(hashOfBytes(this.#seed, address), this.#ownerRank(address));
    return owner === undefined ? undefined : fullName(this.store.names(owner.id).host);
  }

  /** The service that has a host, exactly as it came. */
  idOfHost(host: string): number | undefined {
    const id = this.#idOf(fullName(host));
    return id === undefined || this.store.names(id).host !== host ? undefined : id;
  }

  /** The names that lead to a service, in lower case with a trailing dot. */
  namesOf(id: number): readonly string[] {
    if (!this.store.has(id)) return [];
    const service = this.store.names(id);
    const names = new Set([fullName(service.host), ...otherNames(service, this.#domain)]);
    return [...names].filter((name) => this.#idOf(name) === id);
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

  /**
   * Whether a host is below the name, which then exists although it has no record. Not for names that end in a search
   * domain: clients try them although they mean another name, and some stop at the first one that exists.
   * @param name in lower case with a trailing dot
   * Source: RFC 8020; the search of musl
   */
  isParent(name: string, searchDomains: readonly string[]): boolean {
    return (
      !searchDomains.some((domain) => name.endsWith(`.${domain}`)) && this.#parents.has(hashOfText(this.#seed, name))
    );
  }

  /** Gives the memory back that the next table does not share. The table finds nothing any more. */
  free(next: LookupTable | undefined): void {
    this.#names.free();
    this.#owners.free();
    this.store.free(next?.store);
  }

  #exact(name: string, searchDomain: string | undefined): FoundName | undefined {
    const id = this.#idOf(name);
    if (id !== undefined) return this.#found(id, false);
    if (searchDomain === undefined || !name.endsWith(`.${searchDomain}`)) return undefined;
    const bare = name.slice(0, -searchDomain.length);
    const aliased = bare.endsWith(`.${searchDomain}`) ? undefined : this.#idOf(bare);
    return aliased === undefined ? undefined : this.#found(aliased, true);
  }

  #found(id: number, hasSearchDomain: boolean): FoundName {
    const addresses = this.store.addresses(id);
    const v4 = addresses.filter(({ length }) => length === 4);
    const v6 = addresses.filter(({ length }) => length === 16);
    return { v4, v6, hasSearchDomain };
  }

  #idOf(name: string): number | undefined {
    return this.#names.find(hashOfText(this.#seed, name), this.#nameRank(name))?.id;
  }

  #nameRank(name: string): RankOf {
    return (id) => {
      if (!this.store.has(id)) return undefined;
      if (fullName(this.store.host(id)) === name) return rankOfHost;
      return otherNames(this.store.names(id), this.#domain).includes(name) ? rankOfOtherName : undefined;
    };
  }

  #addressCount(id: number): number {
    return this.store.visitAddresses(id, ignore);
  }

  #ownerRank(address: Uint8Array, start = 0, end = address.length): RankOf {
    return (id) => {
      if (!this.store.has(id)) return undefined;
      let matches = 0;
      const count = this.store.visitAddresses(id, (within, otherStart, otherEnd) => {
        if (isSame(address, start, end, within, otherStart, otherEnd)) matches++;
      });
      return matches > 0 ? count : undefined;
    };
  }
}

/** The short forms and other hosts of a Kubernetes service in the proxy's domain. Source: Istio's agent, observed */
export function otherNames(service: ServiceNames, { namespace, domain }: ProxyDomain): readonly string[] {
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

function ignore(): void {
  // only the number of the addresses counts
}

/** Whether two parts of bytes are equal. */
function isSame(
  left: Uint8Array,
  leftStart: number,
  leftEnd: number,
  right: Uint8Array,
  rightStart: number,
  rightEnd: number,
): boolean {
  const length = leftEnd - leftStart;
  if (length !== rightEnd - rightStart) return false;
  for (let at = 0; at < length; at++) if (left[leftStart + at] !== right[rightStart + at]) return false;
  return true;
}
