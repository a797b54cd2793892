// SPDX-License-Identifier: Apache-2.0
import { type Backend, type IpFamily, ipFamilies } from "../options.ts";
import { renderNftables } from "../render-nftables.ts";
import type { RuleSet } from "../rules.ts";
import { familyFlag, type KernelState, type VariantState } from "./kernel-state.ts";
import { type NetworkState, networkChange, networkStateOf, noNetworkState } from "./network-state.ts";
import { isListingOf, renderListing } from "./nft-listing.ts";
import { hasBeginOf, hasRulesOf } from "./own-rules.ts";
import { iptablesProgram, type ProgramOrder, type Variant } from "./programs.ts";
import { renderReplacement, renderReturn } from "./restore-input.ts";

const noRules: Pick<RuleSet, "rules"> = { rules: [] };

/** What the kernel is to have of ours. */
export interface Target {
  readonly set: RuleSet;
  /** Who has the rules of the set; undefined: none has, everything is removed. */
  readonly place: Variant | "nftables" | undefined;
}

/** What of ours is there, compared with what is wanted. */
export type Difference =
  /** Nothing of ours is there. */
  | "none-there"
  /** Exactly what is wanted. */
  | "same"
  /**
   * Nothing else than what is wanted, but something is missing: a route, an address, or the tables that come last, as
   * after a run that was killed.
   */
  | "incomplete"
  | "other";

/**
 * The variant of iptables for the rules: the one that has our rules, also if another was found too; else legacy if others'
 * rules are there; else the first that can be read.
 */
export function chooseVariant({ iptables }: KernelState, binary: "legacy" | "nft" | undefined): Variant | undefined {
  if (binary !== undefined) return binary;
  const hasOwn = ({ own }: VariantState): boolean => ipFamilies.some((family) => own[family].length > 0);
  const hasRules = ({ saved }: VariantState): boolean =>
    ipFamilies.some((family) => saved[family].some(({ chains }) => chains.some(({ rules }) => rules.length > 0)));
  const chosen =
    iptables.find(hasOwn) ?? iptables.find((one) => one.variant === "legacy" && hasRules(one)) ?? iptables[0];
  return chosen?.variant;
}

export function placeOf(state: KernelState, backend: Backend): Target["place"] {
  return backend.kind === "nftables" ? "nftables" : chooseVariant(state, backend.binary);
}

export function compare(state: KernelState, target: Target): Difference {
  const wanted = networkOf(target);
  const { additions, removals } = networkChange(state.network, wanted);
  const isComplete = ipFamilies.every((family) => additions[family] === "");
  const hasMore = ipFamilies.some((family) => removals[family] !== "");
  const ownTables = state.iptables.flatMap(({ own }) => [...own.ipv4, ...own.ipv6]);
  if (ownTables.length === 0 && state.nftables === "")
    return hasMore && target.place === undefined ? "other" : "none-there";
  const isSame =
    isListingOf(state.nftables, target.place === "nftables" ? target.set : noRules) &&
    state.iptables.every((variant) => ipFamilies.every((family) => hasRules(variant, family, target)));
  if (hasMore) return "other";
  if (!isSame) return isBegun(state, target) ? "incomplete" : "other";
  return isComplete ? "same" : "incomplete";
}

/** Whether the tables that a run makes first are there, and none of other options. A transaction of nftables makes all. */
function isBegun({ iptables, nftables }: KernelState, { set, place }: Target): boolean {
  const others = iptables.filter(({ variant }) => variant !== place);
  const chosen = iptables.find(({ variant }) => variant === place);
  const isElsewhere = others.some(({ own }) => ipFamilies.some((family) => own[family].length > 0));
  return chosen !== undefined && nftables === "" && !isElsewhere && hasBeginOf(chosen.own, set);
}

/** One transaction replaces all tables of nftables: what is there of them needs no option to be replaced. */
export function hasOnlyReplaceable({ iptables }: KernelState, { place }: Target): boolean {
  return place === "nftables" && iptables.every(({ own }) => ipFamilies.every((family) => own[family].length === 0));
}

function hasRules({ variant, own }: VariantState, family: IpFamily, target: Target): boolean {
  return hasRulesOf(own[family], rulesFor(target, variant, family), family);
}

function rulesFor({ set, place }: Target, variant: Variant, family: IpFamily): Pick<RuleSet, "rules"> {
  return place === variant && set.families.includes(family) ? set : noRules;
}

function networkOf({ set, place }: Target): NetworkState {
  return place === undefined ? noNetworkState : networkStateOf(set);
}

/**
 * The programs to run, in order: first what the rules need, then the rules, and last what is not needed any more. If all is
 * removed, the rules are last: their marks tell which policy rules are ours, also to the run after one that was killed.
 * @param force also what is there already
 */
export function planChange(state: KernelState, target: Target, force: boolean): readonly ProgramOrder[] {
  const { additions, removals } = networkChange(state.network, networkOf(target));
  const isNft = target.place === "nftables";
  const removesAll = target.place === undefined;
  const changesNft = !isListingOf(state.nftables, isNft ? target.set : noRules) || (isNft && force);
  const nft = { command: "nft", args: ["-f", "-"], input: renderNftables(isNft ? target.set : noRules) };
  const variants = variantsOf(state, target);
  const restores = variants.flatMap((variant) => restoreOrders(variant, target, force));
  const isWanted = ({ command }: ProgramOrder): boolean =>
    ipFamilies.some(
      (family) => target.place !== undefined && !isNft && command === restoreProgram(target.place, family),
    );
  return [
    ...ipOrders(additions),
    ...(removesAll ? ipOrders(removals) : []),
    ...(changesNft && isNft ? [nft] : []),
    ...restores.filter(isWanted),
    ...restores.filter((order) => !isWanted(order)),
    ...(changesNft && !isNft ? [nft] : []),
    ...(removesAll ? [] : ipOrders(removals)),
  ];
}

function restoreProgram(place: Variant | "nftables", family: IpFamily): string {
  return place === "nftables" ? "" : iptablesProgram(place, family, "restore");
}

/** A variant that was not read, because reading it has an effect, has nothing of ours. */
function variantsOf({ iptables }: KernelState, { place }: Target): readonly VariantState[] {
  const isKnown = place === undefined || place === "nftables" || iptables.some(({ variant }) => variant === place);
  const nothing = { ipv4: [], ipv6: [] };
  return isKnown ? iptables : [...iptables, { variant: place, saved: nothing, own: nothing }];
}

function restoreOrders({ variant, own }: VariantState, target: Target, force: boolean): readonly ProgramOrder[] {
  return ipFamilies.flatMap((family) => {
    const rules = rulesFor(target, variant, family);
    const isSame = hasRulesOf(own[family], rules, family);
    return isSame && !force ? [] : restoreOrder(variant, family, renderReplacement(own[family], rules, family));
  });
}

function restoreOrder(variant: Variant, family: IpFamily, input: string): readonly ProgramOrder[] {
  const wait = variant === "legacy" ? ["--wait=30"] : [];
  const command = iptablesProgram(variant, family, "restore");
  return input === "" ? [] : [{ command, args: ["--noflush", ...wait], input }];
}

function ipOrders(lines: Readonly<Record<IpFamily, string>>): readonly ProgramOrder[] {
  return ipFamilies
    .filter((family) => lines[family] !== "")
    .map((family) => ({ command: "ip", args: [familyFlag(family), "-batch", "-"], input: lines[family] }));
}

/** The programs to run for what is ours to be as it was before. */
export function planReturn(now: KernelState, before: KernelState): readonly ProgramOrder[] {
  const { additions, removals } = networkChange(now.network, before.network);
  const restores = now.iptables.flatMap(({ variant, own }) => {
    const then = before.iptables.find((one) => one.variant === variant)?.own;
    return ipFamilies.flatMap((family) => {
      const [from, to] = [own[family], then?.[family] ?? []];
      const isSame = JSON.stringify(from) === JSON.stringify(to);
      return isSame ? [] : restoreOrder(variant, family, renderReturn(from, to));
    });
  });
  const nft = { command: "nft", args: ["-f", "-"], input: renderListing(before.nftables) };
  return [
    ...ipOrders(additions),
    ...(now.nftables === before.nftables ? [] : [nft]),
    ...restores,
    ...ipOrders(removals),
  ];
}
