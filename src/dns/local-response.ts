// SPDX-License-Identifier: Apache-2.0
import type { LookupTable } from "./lookup-table.ts";
import { opcode, recordClass, recordType } from "./message.ts";
import type { Query } from "./query.ts";
import type { AddressAnswer, HostAnswer } from "./response.ts";
import { addressOfReverseName } from "./reverse-name.ts";

/** Source: Istio's agent, observed */
const ttlSeconds = 30;

/** Whether the mesh has the answer, if it has the name. */
export function asksForAddresses(query: Query): boolean {
  return (
    query.opcode === opcode.query &&
    query.name !== undefined &&
    (query.type === recordType.a || query.type === recordType.aaaa) &&
    isInternet(query)
  );
}

function isInternet(query: Query): boolean {
  return query.class === recordClass.internet || query.class === recordClass.any;
}

/**
 * The addresses of a name of the mesh, in a new order each time; none of that family is an answer too.
 * @param random uniform in [0, 1)
 * @returns undefined for a name that the mesh does not know
 */
export function answerFromTable(
  query: Query,
  lookup: LookupTable,
  searchDomain: string | undefined,
  random: () => number,
): AddressAnswer | undefined {
  const { name, question, type } = query;
  const found = name === undefined ? undefined : lookup.find(name, searchDomain);
  if (name === undefined || found === undefined) return undefined;
  const addresses = shuffled(type === recordType.a ? found.v4 : found.v6, random);
  if (!found.hasSearchDomain) return { alias: undefined, addresses, ttlSeconds };
  // a name's bytes are as many as its letters and dots, but for the end
  const bareBytes = name.length - (searchDomain?.length ?? 0);
  return { alias: Buffer.concat([question.subarray(0, bareBytes), Buffer.alloc(1)]), addresses, ttlSeconds };
}

/** The host of the mesh that has the address that is asked about; undefined for other questions and addresses. */
export function hostFromTable(query: Query, lookup: LookupTable): HostAnswer | undefined {
  const isReverse = query.opcode === opcode.query && query.type === recordType.ptr && isInternet(query);
  const ip = isReverse && query.name !== undefined ? addressOfReverseName(query.name) : undefined;
  const host = ip === undefined ? undefined : lookup.hostOf(ip);
  return host === undefined ? undefined : { host, ttlSeconds };
}

/** Each order is as likely as any other. */
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
