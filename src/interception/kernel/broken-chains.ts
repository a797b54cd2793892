// SPDX-License-Identifier: Apache-2.0
import { isOwnChain, type SavedChain, targetOf } from "./saved-rules.ts";

/** One table of one family, as the kernel goes through it. */
export interface RuleTable {
  /** `nat of iptables-nft for IPv4` */
  readonly name: string;
  readonly chains: readonly SavedChain[];
}

/** A chain of ours that does not do what it is for. */
export interface BrokenChain {
  readonly table: string;
  readonly chain: string;
  /** `empty`: rules lead to it, and it has none. `unreached`: it has rules, and none leads to it. */
  readonly kind: "empty" | "unreached";
}

/** Options decide whether anything leads to the chains that redirect: without captured destinations nothing does. */
const redirects = new Set(["ISTIO_REDIRECT", "ISTIO_IN_REDIRECT", "ISTIO_TPROXY"]);

/** A rule that ends its chain for every TCP packet. */
const ends =
  /^(?:-p tcp |meta l4proto tcp )?(?:counter packets \d+ bytes \d+ |counter )?(?:-j )?(?:ACCEPT|RETURN|DROP)$/i;
const captures = /-j (?:REDIRECT|TPROXY)\b|\bredirect to :|\btproxy /;

/**
 * The chains of ours that are empty where packets get to them, or that no packet gets to. A chain that is part of another
 * unreached one is not reported again.
 */
export function brokenChains({ name: table, chains }: RuleTable): readonly BrokenChain[] {
  const reached = reachedChains(chains, builtIns(chains));
  const own = chains.filter(({ name }) => isOurs(name));
  // a chain of exceptions alone has nothing to lead to where nothing is captured
  const unreached = own.filter(
    ({ name }) => !reached.has(name) && !redirects.has(ownName(name)) && capturesIn(chains, [name]),
  );
  const inner = new Set(unreached.flatMap((chain) => chain.rules.map(nextOf)));
  return [
    ...own
      .filter(({ name, rules }) => rules.length === 0 && reached.has(name))
      .map(({ name: chain }) => ({ table, chain, kind: "empty" as const })),
    ...unreached
      .filter(({ name }) => !inner.has(name))
      .map(({ name: chain }) => ({ table, chain, kind: "unreached" as const })),
  ];
}

/** Whether packets get to a rule that sends them to Envoy. */
export function hasCapture({ chains }: RuleTable): boolean {
  return capturesIn(chains, builtIns(chains));
}

function capturesIn(chains: readonly SavedChain[], from: readonly string[]): boolean {
  const reached = reachedChains(chains, from);
  return chains.some(({ name, rules }) => reached.has(name) && rules.some((rule) => captures.test(rule)));
}

/** The chains that the kernel calls. */
function builtIns(chains: readonly SavedChain[]): readonly string[] {
  return chains.filter(({ policy }) => policy !== undefined).map(({ name }) => name);
}

/** These chains, and those that their rules lead to. */
function reachedChains(chains: readonly SavedChain[], from: readonly string[]): ReadonlySet<string> {
  const byName = new Map(chains.map((chain) => [chain.name, chain]));
  const reached = new Set<string>();
  const waiting = [...from];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    if (reached.has(name)) continue;
    reached.add(name);
    const rules = byName.get(name)?.rules ?? [];
    const end = rules.findIndex((rule) => ends.test(rule));
    waiting.push(...(end < 0 ? rules : rules.slice(0, end)).map(nextOf).filter((next) => byName.has(next)));
  }
  return reached;
}

function nextOf(rule: string): string {
  return targetOf(rule) || (/\b(?:jump|goto) (\S+)/.exec(rule)?.[1] ?? "");
}

/** nftables has our chains in lower case, in tables of ours. */
function isOurs(name: string): boolean {
  return isOwnChain(ownName(name));
}

function ownName(name: string): string {
  return name.toUpperCase().replaceAll("-", "_");
}
