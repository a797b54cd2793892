// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../lib/errors.ts";
import { InterceptionError } from "../interception-error.ts";
import type { Backend, RunOptions } from "../options.ts";
import type { RuleSet } from "../rules.ts";
import { addFirstRules } from "./first-rules.ts";
import { type KernelState, readKernel } from "./kernel-state.ts";
import { compare, hasOnlyReplaceable, placeOf, planChange, planReturn, type Target } from "./plan.ts";
import { ProgramError, type ProgramOrder, type Programs } from "./programs.ts";
import { allTables, removeUnusedTables, tablesWithOwn } from "./unused-tables.ts";

export interface ApplyOrder extends Pick<RunOptions, "reconcile" | "cleanupOnly" | "forceApply"> {
  readonly backend: Backend;
  readonly set: RuleSet;
  /** Nothing is read or changed before it resolves: no other run changes the rules from then on. */
  readonly locked: Promise<void>;
}

/** What was done. */
export interface Applied {
  readonly change: "applied" | "completed" | "replaced" | "removed" | "none";
  /** What has the rules now, or had those that were removed: `iptables-nft`, `nftables`; `none` if nothing has. */
  readonly backends: string;
}

/**
 * Gives the kernel exactly the rules of the set, or with `cleanupOnly` none: whatever of ours is there is found by its
 * names and forms, and not by the options. If a program fails, everything is as it was before.
 * @throws InterceptionError
 */
export async function applyRules(order: ApplyOrder, programs: Programs): Promise<Applied> {
  const { set, backend, cleanupOnly, forceApply, locked } = order;
  if (backend.kind === "nftables" && !cleanupOnly && (await addFirstRules(programs, set, locked))) {
    return { change: "applied", backends: "nftables" };
  }
  await locked;
  const state = await readKernel(programs, set, { readsPolicies: cleanupOnly });
  assertReadable(state, order);
  const target: Target = { set, place: cleanupOnly ? undefined : placeOf(state, backend) };
  const { place } = target;
  const backends = place === undefined ? whereRulesAre(state) || "none" : nameOf(place);
  const difference = compare(state, target);
  const force = forceApply && !cleanupOnly;
  if (difference === "same" && !force) return { change: "none", backends };
  if (difference === "none-there" && cleanupOnly) return { change: "none", backends };
  if (difference === "other" && !cleanupOnly && !order.reconcile && !hasOnlyReplaceable(state, target)) {
    throw new InterceptionError(
      `rules of other options are in place (${whereRulesAre(state)}): use --reconcile to replace them, ` +
        "or --cleanup-only to remove them",
    );
  }
  await runAll(planChange(state, target, force), state, set, programs);
  await removeUnusedTables(programs, difference === "other" ? tablesWithOwn(state) : []);
  const changes = { "none-there": "applied", incomplete: "completed", same: "applied", other: "replaced" } as const;
  return { change: cleanupOnly ? "removed" : changes[difference], backends };
}

function whereRulesAre({ iptables, nftables }: KernelState): string {
  const variants = iptables
    .filter(({ own }) => own.ipv4.length + own.ipv6.length > 0)
    .map(({ variant }) => nameOf(variant));
  return [...variants, ...(nftables === "" ? [] : ["nftables"])].join(", ");
}

function nameOf(place: NonNullable<Target["place"]>): string {
  if (place === "nftables") return place;
  return place === "plain" ? "iptables" : `iptables-${place}`;
}

/** What cannot be read can have rules of ours. */
function assertReadable({ iptables, iptablesFailure, nftFailure }: KernelState, order: ApplyOrder): void {
  const needsNft = order.backend.kind === "nftables" && !order.cleanupOnly;
  const hasIptables = iptables.length > 0;
  const isNothingThere = !hasIptables && nftFailure?.isMissing === true;
  const needed = needsNft ? nftFailure : hasIptables || order.cleanupOnly ? undefined : (iptablesFailure ?? nftFailure);
  const failed = [needed, iptablesFailure, nftFailure].find((failure) => failure !== undefined && !failure.isMissing);
  if (needed?.isMissing === true) {
    const other = needsNft ? hasIptables && "leave out" : nftFailure === undefined && "use";
    const hint = other === false ? "" : `; ${needsNft ? "iptables" : "nft"} is: ${other} --native-nftables`;
    throw new InterceptionError(`apply the rules: ${needed.message}${hint}`);
  }
  if (failed !== undefined) {
    throw new InterceptionError("read the rules, which takes root with NET_ADMIN and NET_RAW", { cause: failed });
  }
  if (isNothingThere) throw new InterceptionError("neither iptables nor nft is installed, or not on PATH");
}

async function runAll(
  orders: readonly ProgramOrder[],
  before: KernelState,
  set: RuleSet,
  programs: Programs,
): Promise<void> {
  try {
    for (const one of orders) await programs.run(one);
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    const failures = await undo(before, set, programs);
    if (failures === "") throw new InterceptionError("change the rules: everything is as before", { cause: error });
    const state = `what was done is not undone (${failures}): use --cleanup-only`;
    throw new InterceptionError(`change the rules: ${state}`, { cause: error });
  }
}

/** @returns why something is not as before; empty if all is */
async function undo(before: KernelState, set: RuleSet, programs: Programs): Promise<string> {
  const failures: string[] = [];
  try {
    const now = await readKernel(programs, set, { before: before.network, readsPolicies: true });
    for (const one of planReturn(now, before)) {
      await programs.run(one).catch((error: unknown) => failures.push(describeError(error)));
    }
    const then = new Set(allTables(before));
    await removeUnusedTables(
      programs,
      allTables(now).filter((table) => !then.has(table)),
    );
  } catch (error) {
    failures.push(describeError(error));
  }
  return failures.join("; ");
}
