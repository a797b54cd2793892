// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { ipBytes } from "../../lib/net/ip-address.ts";
import { systemCode } from "../../lib/errors.ts";
import { type IpFamily, ipFamilies } from "../options.ts";
import { passthroughSource } from "../rule-values.ts";
import type { RuleSet } from "../rules.ts";
import {
  isLocalTable,
  type NetworkState,
  networkStateOf,
  noNetworkState,
  parsePolicies,
  type Policy,
} from "./network-state.ts";
import { hasOwnTables, ownNftTables } from "./nft-listing.ts";
import { findOwnTables, type OwnTable } from "./own-rules.ts";
import { iptablesProgram, missingProgram, ProgramError, type Programs, type Variant } from "./programs.ts";
import { parseIptablesSave, type SavedTable } from "./saved-rules.ts";

/** What the network namespace has, of iptables and of ours. */
export interface KernelState {
  /** In the order nft, legacy, plain: those that are installed and have been read. */
  readonly iptables: readonly VariantState[];
  /** Why no variant of iptables could be read; undefined if one could, or if none is installed. */
  readonly iptablesFailure: ProgramError | undefined;
  /** What `nft list table` prints of our tables; empty if there are none. */
  readonly nftables: string;
  /** Undefined if `nft` could be run. */
  readonly nftFailure: ProgramError | undefined;
  readonly network: NetworkState;
}

export interface VariantState {
  readonly variant: Variant;
  readonly saved: Readonly<Record<IpFamily, readonly SavedTable[]>>;
  /** What is ours of `saved`. */
  readonly own: Readonly<Record<IpFamily, readonly OwnTable[]>>;
}

export interface ReadingOptions {
  /** Policy rules and routes that were found to be ours before the rules changed. */
  readonly before?: NetworkState;
  /** Reads policy rules also if no rule is there that they could belong to. */
  readonly readsPolicies?: boolean;
}

/**
 * Reads what is there, without any effect: reading legacy tables would create them, so only those are read that exist.
 * Of a namespace without tables, programs are not asked about rules.
 * @param set says which rules without a jump to our chains, and which policy rules, are ours as well
 */
export async function readKernel(
  programs: Programs,
  set: RuleSet,
  { before = noNetworkState, readsPolicies = false }: ReadingOptions = {},
): Promise<KernelState> {
  const needsPolicies = readsPolicies || set.routes.length > 0;
  const early = needsPolicies ? readAllPolicies(programs) : undefined;
  const tables = await runNft(programs, ["list", "tables"]);
  const [nft, legacy, listing] = await Promise.all([
    readVariant(programs, "nft", set, familiesWithTables(tables)),
    hasLegacyTables() ? readVariant(programs, "legacy", set) : undefined,
    typeof tables === "string" && hasOwnTables(tables) ? runNft(programs, ["list", "ruleset", "inet"]) : tables,
  ]);
  const read = [nft, legacy ?? (nft instanceof ProgramError ? await readVariant(programs, "legacy", set) : undefined)];
  const installed = read.filter((one) => one !== undefined && !(one instanceof ProgramError && one.isMissing));
  if (installed.length === 0) installed.push(await readVariant(programs, "plain", set));
  const iptables = installed.flatMap((one) => (one === undefined || one instanceof ProgramError ? [] : [one]));
  const failures = installed.filter((one) => one instanceof ProgramError);
  const nftables = typeof listing === "string" ? ownNftTables(listing) : "";
  const hasOwn = nftables !== "" || iptables.some(({ own }) => own.ipv4.length + own.ipv6.length > 0);
  const policies = await (early ?? (hasOwn ? readAllPolicies(programs) : { ipv4: [], ipv6: [] }));
  const marks = marksOf(iptables, nftables);
  return {
    iptables,
    iptablesFailure: iptables.length === 0 ? failures[0] : undefined,
    nftables,
    nftFailure: typeof listing === "string" ? undefined : listing,
    network: await readNetwork(programs, policies, marks, [networkStateOf(set), before]),
  };
}

/** The families of which iptables-nft can have rules; all if it is not known which tables there are. */
function familiesWithTables(tables: string | ProgramError): readonly IpFamily[] {
  if (tables instanceof ProgramError) return ipFamilies;
  return ipFamilies.filter((family) => tables.includes(family === "ipv4" ? "table ip " : "table ip6 "));
}

async function readVariant(
  programs: Programs,
  variant: Variant,
  set: RuleSet,
  used: readonly IpFamily[] = ipFamilies,
): Promise<VariantState | ProgramError> {
  const read = async (family: IpFamily): Promise<readonly SavedTable[] | ProgramError> => {
    const command = iptablesProgram(variant, family, "save");
    if (!used.includes(family)) return programs.isInstalled(command) ? [] : missingProgram(command);
    return await orFailure(programs.run({ command }).then(parseIptablesSave));
  };
  const [ipv4, ipv6] = await Promise.all([read("ipv4"), read("ipv6")]);
  if (ipv4 instanceof ProgramError) return ipv4;
  // a machine may have neither IPv6 nor its programs; what needs them fails when it uses them
  const saved = { ipv4, ipv6: ipv6 instanceof ProgramError ? [] : ipv6 };
  const own = (family: IpFamily): readonly OwnTable[] => findOwnTables(saved[family], set, family);
  return { variant, saved, own: { ipv4: own("ipv4"), ipv6: own("ipv6") } };
}

async function orFailure<T>(result: Promise<T>): Promise<T | ProgramError> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof ProgramError) return error;
    throw error;
  }
}

/** Whether a legacy table exists in this network namespace. Source: Linux, net/netfilter/x_tables.c */
export function hasLegacyTables(): boolean {
  return ["ip_tables_names", "ip6_tables_names"].some((name) => readProc(`/proc/net/${name}`) !== "");
}

async function runNft(programs: Programs, args: readonly string[]): Promise<string | ProgramError> {
  return await orFailure(programs.run({ command: "nft", args }));
}

async function readAllPolicies(programs: Programs): Promise<Readonly<Record<IpFamily, readonly Policy[]>>> {
  const [ipv4 = [], ipv6 = []] = await Promise.all(ipFamilies.map((family) => readPolicies(programs, family)));
  return { ipv4, ipv6 };
}

/**
 * None without the program, or without IPv6 in the kernel. Numeric: a file of this system may give our table a name. Old
 * and small versions of `ip` have no such option.
 */
async function readPolicies(programs: Programs, family: IpFamily): Promise<readonly Policy[]> {
  const read = async (...options: readonly string[]): Promise<string | ProgramError> =>
    await orFailure(programs.run({ command: "ip", args: [...options, familyFlag(family), "rule", "show"] }));
  const numeric = await read("-N");
  const text = typeof numeric === "string" || numeric.isMissing ? numeric : await read();
  return typeof text === "string" ? parsePolicies(text) : [];
}

export function familyFlag(family: IpFamily): string {
  return family === "ipv4" ? "-4" : "-6";
}

/** Marks in our rules, of the options that they were made with. */
function marksOf(iptables: readonly VariantState[], nftables: string): ReadonlySet<number> {
  const saved = iptables.flatMap(({ own }) => ipFamilies.flatMap((family) => own[family]));
  const rules = saved.flatMap(({ chains }) => chains.flatMap((chain) => chain.rules));
  const found = [...rules, nftables].flatMap((text) => [
    ...text.matchAll(/(?:--tproxy-mark|--mark|meta mark|meta mark set) 0x[0-9a-f]+/g),
  ]);
  return new Set(found.map(([text]) => Number(text.slice(text.lastIndexOf(" ")))));
}

/** The mark and table of the reference, unless others are set. */
const usual = { mark: 1337, table: 133 };

async function readNetwork(
  programs: Programs,
  policies: Readonly<Record<IpFamily, readonly Policy[]>>,
  marks: ReadonlySet<number>,
  known: readonly NetworkState[],
): Promise<NetworkState> {
  const read = async (family: IpFamily): Promise<readonly [readonly Policy[], readonly number[]]> => {
    const ours = known.flatMap((one) => one.policies[family]);
    const possible = policies[family].filter(
      ({ mark, table }) => marks.has(mark) || [usual, ...ours].some((one) => one.mark === mark && one.table === table),
    );
    const tables = [
      ...new Set([
        ...[...possible, ...ours].map(({ table }) => table),
        ...known.flatMap(({ localTables }) => localTables[family]),
      ]),
    ];
    const routes = new Map(
      await Promise.all(tables.map(async (table) => [table, await readRoutes(programs, family, table)] as const)),
    );
    const isOwn = ({ table }: Policy): boolean => routes.get(table) === "" || isLocalTable(routes.get(table) ?? "");
    return [possible.filter(isOwn), tables.filter((table) => isLocalTable(routes.get(table) ?? ""))];
  };
  const [[policies4, tables4], [policies6, tables6]] = await Promise.all([read("ipv4"), read("ipv6")]);
  return {
    policies: { ipv4: policies4, ipv6: policies6 },
    localTables: { ipv4: tables4, ipv6: tables6 },
    hasPassthrough: hasPassthrough(),
  };
}

/** The kernel says that a table without routes does not exist. */
async function readRoutes(programs: Programs, family: IpFamily, table: number): Promise<string> {
  const args = [familyFlag(family), "route", "show", "table", String(table)];
  const text = await orFailure(programs.run({ command: "ip", args }));
  return typeof text === "string" ? text : "";
}

/** Lines of ADDRESS INDEX LENGTH SCOPE FLAGS INTERFACE. Source: Linux, net/ipv6/addrconf.c */
function hasPassthrough(): boolean {
  const [address = ""] = passthroughSource("ipv6").text.split("/");
  const digits = Buffer.from(ipBytes(address) ?? []).toString("hex");
  return readProc("/proc/net/if_inet6")
    .split("\n")
    .some((line) => line.startsWith(digits) && line.endsWith(" lo"));
}

/** Empty for a file that is not there, or that only a privileged user can read. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (systemCode(error) !== undefined) return "";
    throw error;
  }
}
