// SPDX-License-Identifier: Apache-2.0
import { type IpFamily, ipFamilies } from "../options.ts";
import type { RuleSet } from "../rules.ts";
import { passthroughSource } from "../rule-values.ts";

/** A policy rule: packets with the mark use the routing table. */
export interface Policy {
  readonly mark: number;
  readonly table: number;
  /** As the kernel has it; undefined: the kernel chooses it. */
  readonly priority: number | undefined;
}

/** What is ours, or shall be, besides the rules for packets. */
export interface NetworkState {
  readonly policies: Readonly<Record<IpFamily, readonly Policy[]>>;
  /** Routing tables that deliver every packet to this machine. */
  readonly localTables: Readonly<Record<IpFamily, readonly number[]>>;
  /** Whether `lo` has the source address of Envoy's inbound connections over IPv6. */
  readonly hasPassthrough: boolean;
}

/** Input of `ip -batch` for each family: what is missing, and what is too much. Empty for nothing. */
export interface NetworkChange {
  readonly additions: Readonly<Record<IpFamily, string>>;
  readonly removals: Readonly<Record<IpFamily, string>>;
}

export const noNetworkState: NetworkState = {
  policies: { ipv4: [], ipv6: [] },
  localTables: { ipv4: [], ipv6: [] },
  hasPassthrough: false,
};

export function networkStateOf({ routes, loopbackAddresses }: RuleSet): NetworkState {
  const of = (family: IpFamily): readonly Policy[] =>
    routes.filter((route) => route.family === family).map(({ mark, table }) => ({ mark, table, priority: undefined }));
  const policies = { ipv4: of("ipv4"), ipv6: of("ipv6") };
  const tables = (family: IpFamily): readonly number[] => policies[family].map(({ table }) => table);
  return {
    policies,
    localTables: { ipv4: tables("ipv4"), ipv6: tables("ipv6") },
    hasPassthrough: loopbackAddresses.length > 0,
  };
}

/** The policy rules by mark alone among the lines of `ip rule`. */
export function parsePolicies(text: string): readonly Policy[] {
  return text.split("\n").flatMap((line) => {
    const [, priority, mark, table] = /^(\d+):\tfrom all fwmark (0x[0-9a-f]+) lookup (\d+)\s*$/.exec(line) ?? [];
    return priority === undefined ? [] : [{ priority: Number(priority), mark: Number(mark), table: Number(table) }];
  });
}

/** Whether a routing table, as `ip route show table` prints it, has the one route that we add and no other. */
export function isLocalTable(text: string): boolean {
  return /^local default dev lo [^\n]*\n?$/.test(text);
}

/** What turns one state into the other; whatever both have stays. */
export function networkChange(from: NetworkState, to: NetworkState): NetworkChange {
  const of = (lines: (family: IpFamily) => readonly string[]): Readonly<Record<IpFamily, string>> => {
    const [ipv4 = "", ipv6 = ""] = ipFamilies.map((family) =>
      lines(family)
        .map((line) => `${line}\n`)
        .join(""),
    );
    return { ipv4, ipv6 };
  };
  const address = `${passthroughSource("ipv6").text} dev lo`;
  const addressOf = (family: IpFamily, verb: string, isDue: boolean): readonly string[] =>
    family === "ipv6" && isDue ? [`addr ${verb} ${address}`] : [];
  return {
    additions: of((family) => [
      ...addressOf(family, "add", to.hasPassthrough && !from.hasPassthrough),
      ...without(to.localTables[family], from.localTables[family]).map((table) => routeLine("add", table)),
      ...withoutPolicies(to.policies[family], from.policies[family]).map((policy) => policyLine("add", policy)),
    ]),
    removals: of((family) => [
      ...withoutPolicies(from.policies[family], to.policies[family]).map((policy) => policyLine("del", policy)),
      ...without(from.localTables[family], to.localTables[family]).map((table) => routeLine("del", table)),
      ...addressOf(family, "del", from.hasPassthrough && !to.hasPassthrough),
    ]),
  };
}

function without(some: readonly number[], others: readonly number[]): readonly number[] {
  return [...new Set(some)].filter((one) => !others.includes(one));
}

/** Each of the others takes one away: a policy that is there twice is once too much. */
function withoutPolicies(some: readonly Policy[], others: readonly Policy[]): readonly Policy[] {
  const left = [...some];
  for (const other of others) {
    const index = left.findIndex(
      ({ mark, table, priority }) =>
        mark === other.mark &&
        table === other.table &&
        (priority === undefined || other.priority === undefined || priority === other.priority),
    );
    if (index >= 0) left.splice(index, 1);
  }
  return left;
}

function policyLine(verb: "add" | "del", { mark, table, priority }: Policy): string {
  const where = priority === undefined ? "" : ` priority ${String(priority)}`;
  return `rule ${verb} fwmark ${String(mark)} lookup ${String(table)}${where}`;
}

function routeLine(verb: "add" | "del", table: number): string {
  return `route ${verb} local default dev lo table ${String(table)}`;
}
