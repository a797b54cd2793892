// SPDX-License-Identifier: Apache-2.0

/**
 * A transaction of nft: for each chain of each table its rules in their final order, in one spelling. How tables are
 * emptied before is left out, and the order of lines of different chains does not count.
 */
export function normalNftables(lines: readonly string[]): Readonly<Record<string, readonly string[]>> {
  const chains = new Map<string, string[]>();
  for (const line of lines) {
    const chain = /^add chain inet (\S+ \S+)(.*)$/.exec(line);
    if (chain !== null) chains.set(`${chain[1] ?? ""}${chain[2] ?? ""}`, []);
    const rule = /^(add|insert) rule inet (\S+ \S+)(?: index (\d+))? (.*)$/.exec(line);
    if (rule === null) continue;
    const [, verb, place = "", index, text = ""] = rule;
    const entry = [...chains].find(([name]) => name === place || name.startsWith(`${place} {`));
    if (entry === undefined) throw new Error(`no chain for ${line}`);
    entry[1].splice(verb === "insert" ? Number(index ?? 0) : entry[1].length, 0, normalNftRule(text));
  }
  return Object.fromEntries(chains);
}

function normalNftRule(text: string): string {
  return text
    .replaceAll('"', "")
    .replace(/meta l4proto tcp (?=.*\btcp dport)/, "")
    .replaceAll(/(?<!meta )\b(skuid|skgid)\b/g, "meta $1")
    .replaceAll(/(?<!meta |ct )\bmark\b/g, "meta mark");
}

/**
 * What `iptables-save` prints: the rules of each chain in their order, without comments, tables without rules, and the
 * name of the protocol's module.
 */
export function normalSaved(lines: readonly string[]): readonly string[] {
  let table = "";
  const chains = new Map<string, string[]>();
  for (const line of lines) {
    if (line.startsWith("*")) table = line.slice(1);
    const [, chain = "", rule = ""] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain === "") continue;
    const key = `${table} ${chain}`;
    chains.set(key, [...(chains.get(key) ?? []), `-A ${chain} ${rule.replaceAll(/-m (?:tcp|udp) /g, "")}`]);
  }
  return [...chains].sort(([one], [other]) => (one < other ? -1 : 1)).flatMap(([key, rules]) => [`* ${key}`, ...rules]);
}

/** What `nft list ruleset` prints as a transaction, without the values of counters. */
export function asTransaction(lines: readonly string[]): readonly string[] {
  let [table, chain] = ["", ""];
  return lines.flatMap((line): readonly string[] => {
    const text = line.trim().replaceAll(/counter packets \d+ bytes \d+/g, "counter");
    const [word = "", second = "", third = ""] = text.split(" ");
    if (word === "table") table = `${second} ${third}`;
    if (word === "chain") chain = second;
    if (["", "table", "}"].includes(word)) return [];
    if (word === "chain") return [`add chain ${table} ${chain}`];
    if (word === "type") return [];
    return [`add rule ${table} ${chain} ${text.replaceAll("meta sk", "sk")}`];
  });
}
