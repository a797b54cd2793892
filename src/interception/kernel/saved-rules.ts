// SPDX-License-Identifier: Apache-2.0

/** What `iptables-save` prints of one table. */
export interface SavedTable {
  /** `nat` */
  readonly name: string;
  readonly chains: readonly SavedChain[];
}

export interface SavedChain {
  /** `PREROUTING`, `ISTIO_INBOUND` */
  readonly name: string;
  /** What becomes of packets at the end of a built-in chain; undefined for the chains of users. */
  readonly policy: string | undefined;
  /** The rules as they are printed, without `-A CHAIN`. */
  readonly rules: readonly string[];
}

/** The tables of an output of `iptables-save` or `ip6tables-save`; lines that are none of theirs are left out. */
export function parseIptablesSave(text: string): readonly SavedTable[] {
  const tables: { name: string; chains: Map<string, { policy: string | undefined; rules: string[] }> }[] = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) tables.push({ name: line.slice(1).trim(), chains: new Map() });
    const chains = tables.at(-1)?.chains;
    if (chains === undefined) continue;
    const [word = "", second = ""] = line.split(" ", 2);
    if (word.startsWith(":")) chains.set(word.slice(1), { policy: second === "-" ? undefined : second, rules: [] });
    if (word === "-A") chains.get(second)?.rules.push(line.slice(word.length + second.length + 2));
  }
  return tables.map(({ name, chains }) => ({
    name,
    chains: [...chains].map(([chain, content]) => ({ name: chain, ...content })),
  }));
}

/** The chain that a rule goes to: `ISTIO_OUTPUT` of `-p tcp -j ISTIO_OUTPUT`; also that of a target, `RETURN`. */
export function targetOf(rule: string): string {
  // what is quoted is a comment's text, for example
  return /(?:^| )-[jg] (\S+)/.exec(rule.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""'))?.[1] ?? "";
}

/** Every chain with such a name is ours, whatever the options. */
export function isOwnChain(name: string): boolean {
  return name.startsWith("ISTIO_");
}
