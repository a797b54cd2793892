// SPDX-License-Identifier: Apache-2.0
import { familyNames, type IpFamily, ipFamilies } from "../options.ts";
import type { RuleSet } from "../rules.ts";
import { type BrokenChain, brokenChains, hasCapture, type RuleTable } from "./broken-chains.ts";
import { readKernel, type VariantState } from "./kernel-state.ts";
import { tablesOfListing } from "./nft-listing.ts";
import type { OwnTable } from "./own-rules.ts";
import { createPrograms } from "./programs.ts";

/** What the rules in a network namespace do, whatever options they were made with. */
export interface CaptureSummary {
  /** Who has the rules: `iptables-nft`, `nftables`; empty if there are none of ours. */
  readonly backends: readonly string[];
  readonly usesTproxy: boolean;
  /** Where TCP connections are sent to, without DNS. */
  readonly ports: readonly number[];
  /** Where DNS queries are sent to. */
  readonly dnsPorts: readonly number[];
  /** Whose packets are not captured. */
  readonly exemptUids: readonly number[];
  readonly exemptGids: readonly number[];
  /** Where rules of others in iptables send connections. */
  readonly foreignPorts: readonly number[];
  /** Chains of ours that are empty or that nothing leads to, where no other rules of the same family are whole. */
  readonly broken: readonly BrokenChain[];
  /** Whether any packet gets to a rule that sends it to Envoy. */
  readonly captures: boolean;
}

const nothing: RuleSet = { families: ["ipv4", "ipv6"], rules: [], routes: [], loopbackAddresses: [] };

/**
 * Reads the rules of this network namespace, without any effect on it. Needs CAP_NET_ADMIN.
 * @param env of the programs that read them
 * @param timeoutMs of each program
 * @throws ProgramError when no program for it is installed, or none may read
 */
export async function readCaptureSummary(
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<CaptureSummary> {
  const programs = createPrograms(env, [], timeoutMs);
  const { iptables, iptablesFailure, nftables, nftFailure } = await readKernel(programs, nothing);
  if (iptables.length === 0 && nftFailure !== undefined) throw iptablesFailure ?? nftFailure;
  const rules = iptables.flatMap(({ own }) => ipFamilies.flatMap((family) => own[family].flatMap(rulesOfTable)));
  const all = iptables.flatMap(({ saved }) =>
    ipFamilies.flatMap((family) => saved[family].flatMap(({ chains }) => chains.flatMap((chain) => chain.rules))),
  );
  const ours = new Set(rules);
  const foreignPorts = numbersIn(
    all.filter((rule) => !ours.has(rule)),
    targetPort,
  );
  const variants = iptables.filter(({ own }) => ipFamilies.some((family) => own[family].length > 0));
  const backends = [
    ...variants.map(({ variant }) => (variant === "plain" ? "iptables" : `iptables-${variant}`)),
    ...(nftables === "" ? [] : ["nftables"]),
  ];
  const judged = judgeRules(variants, nftables);
  return { backends, foreignPorts, ...judged, ...summarizeRules([...rules, ...nftables.split("\n")]) };
}

/** Remains of one program do no harm beside whole rules of another. */
function judgeRules(variants: readonly VariantState[], nftables: string): Pick<CaptureSummary, "broken" | "captures"> {
  const ofNft = tablesOfListing(nftables).map(({ name, chains }) => ({ name: `${name} of nftables`, chains }));
  const sets = [
    ofNft,
    ...variants.flatMap(({ variant, saved, own }) =>
      ipFamilies
        .filter((family) => own[family].length > 0)
        .map((family) =>
          saved[family].map(({ name, chains }) => {
            const program = variant === "plain" ? "iptables" : `iptables-${variant}`;
            return { name: `${name} of ${program} for ${familyNames[family]}`, family, chains };
          }),
        ),
    ),
  ].map((tables: readonly (RuleTable & { readonly family?: IpFamily })[]) => ({
    family: tables[0]?.family,
    broken: tables.flatMap(brokenChains),
    captures: tables.some(hasCapture),
  }));
  const whole = sets.filter(({ broken, captures }) => broken.length === 0 && captures);
  const isCovered = (family: IpFamily | undefined): boolean =>
    whole.some((one) => one.family === undefined || one.family === family);
  return {
    broken: sets.flatMap(({ family, broken }) => (isCovered(family) ? [] : broken)),
    captures: sets.some(({ captures }) => captures),
  };
}

function rulesOfTable({ chains, rules }: OwnTable): readonly string[] {
  return [...chains.flatMap((chain) => chain.rules), ...rules.map(({ text }) => text)];
}

/** @param rules as `iptables-save` and `nft list ruleset` print them */
export function summarizeRules(
  rules: readonly string[],
): Omit<CaptureSummary, "backends" | "foreignPorts" | "broken" | "captures"> {
  const [dns, others] = [rules.filter(isDnsRule), rules.filter((rule) => !isDnsRule(rule))];
  return {
    usesTproxy: rules.some((rule) => /\bTPROXY\b|\btproxy\b/.test(rule)),
    ports: numbersIn(others, targetPort),
    dnsPorts: numbersIn(dns, targetPort),
    exemptUids: numbersIn(rules.filter(isExemption), /(?<!! )--uid-owner (\d+)|\bskuid (\d+)/g),
    exemptGids: numbersIn(rules.filter(isExemption), /(?<!! )--gid-owner (\d+)|\bskgid (\d+)/g),
  };
}

const targetPort = /--to-ports? (\d+)|--on-port (\d+)|\bredirect to :(\d+)|\btproxy (?:ip6? )?to :(\d+)/g;

function isDnsRule(rule: string): boolean {
  return /--dport 53\b|\bdport 53\b/.test(rule);
}

function isExemption(rule: string): boolean {
  return /-j RETURN\b|\breturn\b/.test(rule);
}

function numbersIn(rules: readonly string[], pattern: RegExp): readonly number[] {
  const found = rules.flatMap((rule) =>
    [...rule.matchAll(pattern)].flatMap(([, ...groups]) => groups.filter(Boolean).map(Number)),
  );
  return [...new Set(found)].sort((a, b) => a - b);
}
