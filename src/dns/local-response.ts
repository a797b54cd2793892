// SPDX-License-Identifier: Apache-2.0
import { ipBytes } from "../lib/net/ip-address.ts";
import type { LookupTable } from "./lookup-table.ts";
import { opcode, recordClass, recordType } from "./message.ts";
import type { Query } from "./query.ts";
import type { ResolvConf } from "./resolvers.ts";
import { type AddressRecords, type HostRecord, renderAlias, renderNoData } from "./response.ts";

/** Source: Istio's agent, observed */
const ttlSeconds = 30;

/** Whether the query is for addresses of a name, which the name table may have. */
export function isAddressQuery(query: Query): boolean {
  return (
    query.opcode === opcode.query &&
    query.name !== undefined &&
    (query.type === recordType.a || query.type === recordType.aaaa) &&
    isInternet(query)
  );
}

/**
 * The addresses of a name in the table, in random order; an empty list when it has none of that family.
 * @param random uniform in [0, 1)
 * @returns undefined for a name that is not in the table
 */
export function findAddresses(
  query: Query,
  lookup: LookupTable,
  searchDomain: string | undefined,
  random: () => number,
): AddressRecords | undefined {
  const { name, type } = query;
  const found = name === undefined ? undefined : lookup.find(name, searchDomain);
  if (name === undefined || found === undefined) return undefined;
  const addresses = shuffled(type === recordType.a ? found.v4 : found.v6, random);
  return { alias: found.hasSearchDomain ? aliasOf(query, name, searchDomain) : undefined, addresses, ttlSeconds };
}

/** The queried name without the search domain. */
function aliasOf({ question }: Query, name: string, searchDomain: string | undefined): Buffer {
  // On the wire a name is as long as its text with the trailing dot, plus the last byte.
  const aliasBytes = name.length - (searchDomain?.length ?? 0);
  return Buffer.concat([question.subarray(0, aliasBytes), Buffer.alloc(1)]);
}

/**
 * The response to a query that the resolvers say is about no name, where the table has the name or one below it. If a
 * name exists for one type, it exists for each.
 * @returns undefined for a name that is not in the table
 * Source: RFC 8020
 */
export function renderKnownName(
  query: Query,
  lookup: LookupTable,
  { searchDomain, searchDomains }: Pick<ResolvConf, "searchDomain" | "searchDomains">,
): Buffer | undefined {
  const { name, type } = query;
  if (name === undefined || query.opcode !== opcode.query || !isInternet(query)) return undefined;
  const found = lookup.find(name, searchDomain);
  if (found === undefined && !lookup.isParent(name, searchDomains)) return undefined;
  return found?.hasSearchDomain === true && type === recordType.cname
    ? renderAlias(query, aliasOf(query, name, searchDomain), ttlSeconds)
    : renderNoData(query, ttlSeconds);
}

/** The host in the table that has the address of a PTR query; undefined for other queries and addresses. */
export function findHost(query: Query, lookup: LookupTable): HostRecord | undefined {
  const isReverse = query.opcode === opcode.query && query.type === recordType.ptr && isInternet(query);
  const ip = isReverse && query.name !== undefined ? parseReverseName(query.name) : undefined;
  const host = ip === undefined ? undefined : lookup.hostOf(ip);
  return host === undefined ? undefined : { host, ttlSeconds };
}

function isInternet(query: Query): boolean {
  return query.class === recordClass.internet || query.class === recordClass.any;
}

/**
 * The address of a reverse name; undefined when the name is not one.
 * @param name in lower case with a trailing dot
 * Source: RFC 1035 section 3.5, RFC 3596 section 2.5
 */
function parseReverseName(name: string): Uint8Array | undefined {
  const v4 = /^((?:\d+\.){4})in-addr\.arpa\.$/.exec(name)?.[1];
  if (v4 !== undefined) return ipBytes(v4.split(".").slice(0, 4).reverse().join("."));
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa\.$/.exec(name)?.[1];
  if (v6 === undefined) return undefined;
  const digits = v6.split(".").reverse().join("");
  return ipBytes((digits.match(/..../g) ?? []).join(":"));
}

/** A copy in random order; each order is equally likely. */
export function shuffled<T>(values: readonly T[], random: () => number): readonly T[] {
  const order = [...values];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const [a, b] = [order[last], order[other]];
    if (a === undefined || b === undefined) continue;
    order[last] = b;
    order[other] = a;
  }
  return order;
}
