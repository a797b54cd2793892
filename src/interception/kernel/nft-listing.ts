// SPDX-License-Identifier: Apache-2.0
import { formatIp, ipBytes } from "../../lib/net/ip-address.ts";
import { nftablesTables, renderNftables, renderNftablesRule } from "../render-nftables.ts";
import type { Rule, RuleSet } from "../rules.ts";
import type { SavedTable } from "./saved-rules.ts";

/** Whether one of our tables is among those that `nft list tables` prints. */
export function hasOwnTables(tables: string): boolean {
  const names = new Set(tables.split("\n"));
  return Object.values(nftablesTables).some((name) => names.has(`table inet ${name}`));
}

/** Our tables in what `nft list ruleset inet` prints; empty for none. */
export function ownNftTables(ruleset: string): string {
  const heads = new Set(Object.values(nftablesTables).map((name) => `table inet ${name} {`));
  let isOwn = false;
  const lines = ruleset.split("\n").filter((line) => {
    if (line.startsWith("table ")) isOwn = heads.has(line);
    return isOwn;
  });
  return lines.map((line) => `${line}\n`).join("");
}

/** Whether a listing of our tables has exactly the rules of the set. What cannot be compared counts as different. */
export function isListingOf(listing: string, set: Pick<RuleSet, "rules">): boolean {
  return listedChains(listing) === wantedChains(renderNftables(set));
}

/** Whether a listing of our tables has a rule. */
export function isRuleListed(listing: string, rule: Rule): boolean {
  const chain = `${nftablesTables[rule.table]} ${rule.chain}`;
  return (
    chainsOfListing(listing)
      .get(chain)
      ?.includes(normalRule(renderNftablesRule(rule))) === true
  );
}

/** The tables of a listing of ours. A chain that the kernel calls has a policy. */
export function tablesOfListing(listing: string): readonly SavedTable[] {
  const tables = new Map<string, { name: string; policy: string | undefined; rules: readonly string[] }[]>();
  for (const [key, rules] of chainsOfListing(listing)) {
    const [table = "", name = ""] = key.split(" ");
    const policy = name === "prerouting" || name === "output" ? "accept" : undefined;
    tables.set(table, [...(tables.get(table) ?? []), { name, policy, rules }]);
  }
  return [...tables].map(([name, chains]) => ({ name, chains }));
}

/** The transaction that restores a listing of our tables, whatever is there now. */
export function renderListing(listing: string): string {
  return `${renderNftables({ rules: [] })}${listing}`;
}

/** Whether a table has no rule, no chain of users and no policy but accept: `nft list table ip nat` of an unused table. */
export function isUnusedTable(listing: string): boolean {
  const lines = listing.split("\n").map((line) => line.trim());
  return (
    lines.every((line) => /^(?:#.*|\}|table .*\{|chain .*\{|type .* policy accept;)?$/.test(line)) &&
    chainsHaveHooks(lines)
  );
}

function chainsHaveHooks(lines: readonly string[]): boolean {
  return lines.every((line, index) => !line.startsWith("chain ") || lines[index + 1]?.startsWith("type ") === true);
}

function listedChains(listing: string): string {
  return comparable(chainsOfListing(listing));
}

function chainsOfListing(listing: string): ReadonlyMap<string, readonly string[]> {
  let [table, chain] = ["", ""];
  const chains = new Map<string, string[]>();
  for (const line of listing.split("\n").map((each) => each.trim())) {
    const [word = "", second = "", third = ""] = line.split(" ");
    if (word === "table") table = third;
    else if (word === "chain") {
      chain = `${table} ${second}`;
      chains.set(chain, []);
    } else if (line !== "" && line !== "}" && word !== "type") chains.get(chain)?.push(normalRule(line));
  }
  return chains;
}

function wantedChains(transaction: string): string {
  const chains = new Map<string, string[]>();
  for (const line of transaction.split("\n")) {
    const [verb = "", kind = "", , table = "", chain = "", ...rule] = line.split(" ");
    if (verb !== "add") continue;
    if (kind === "chain") chains.set(`${table} ${chain}`, []);
    if (kind === "rule") chains.get(`${table} ${chain}`)?.push(normalRule(rule.join(" ")));
  }
  return comparable(chains);
}

function comparable(chains: ReadonlyMap<string, readonly string[]>): string {
  return [...chains]
    .map(([name, rules]) => [name, ...rules].join("\n"))
    .sort()
    .join("\n\n");
}

/** One spelling, without the values of counters. */
function normalRule(text: string): string {
  const words = text
    .replaceAll(/counter(?: packets \d+ bytes \d+)?/g, "counter")
    .replaceAll('"', "")
    .replaceAll(/\{ ([^}]*)\}/g, (_, items: string) => `{${sortedList(items)}}`)
    .replaceAll(/(?<=ct state )\S+/g, sortedList)
    .split(" ");
  return words.map(normalWord).join(" ");
}

function sortedList(items: string): string {
  return [...new Set(items.split(",").map((item) => item.trim()))].sort().join(",");
}

function normalWord(word: string): string {
  if (/^0x[0-9a-f]+$/.test(word)) return String(Number(word));
  const [address = "", length] = word.split("/");
  const bytes = ipBytes(address);
  if (bytes === undefined) return word;
  const bits = Number(length ?? 8 * bytes.length);
  const kept = bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * index))));
  return `${formatIp(kept)}/${String(bits)}`;
}
