// SPDX-License-Identifier: Apache-2.0
import { assertNever } from "../../lib/errors.ts";
import { type Chain, chainsOf } from "../chain-order.ts";
import type { CaptureOptions } from "../options.ts";
import type { Action, Rule, RuleSet, TableName } from "../rules.ts";
import { type Condition, conditionsOf, excludeEachOther, isWholeFamily, type PacketClass } from "./packet-class.ts";

/** A packet's end; `passes`: no rule takes it. */
export type Outcome =
  | { readonly kind: "passes" | "dropped" }
  | { readonly kind: "redirected"; readonly port: number; readonly keepsSource: boolean };

/** The first decision whose conditions all hold is a packet's. */
export interface Decision {
  readonly conditions: readonly Condition[];
  readonly outcome: Outcome;
}

const passes: Outcome = { kind: "passes" };
/** In the order of the kernel. The table raw decides nothing. */
const tables: readonly TableName[] = ["mangle", "nat"];

/** What happens to the packets of a class. The last decision has no conditions. */
export function decisionsFor(set: RuleSet, options: CaptureOptions, packet: PacketClass): readonly Decision[] {
  const all = tables.reduceRight<readonly Decision[]>(
    (after, table) => {
      const walk = new ChainWalk(chainsOf(set, table), (rule) => conditionsOf(rule, packet, options));
      return continued(walk.decisions(packet.hook), after);
    },
    [{ conditions: [], outcome: passes }],
  );
  return withoutRepeats(reachable(joinFamilies(reachable(all))));
}

/** Follows the jumps from chain to chain of one table. */
class ChainWalk {
  readonly #chains: ReadonlyMap<string, readonly Rule[]>;
  readonly #conditionsOf: (rule: Rule) => readonly Condition[] | undefined;

  constructor(chains: readonly Chain[], conditions: (rule: Rule) => readonly Condition[] | undefined) {
    this.#chains = new Map(chains.map(({ name, rules }) => [name, rules]));
    this.#conditionsOf = conditions;
  }

  /** `passes` means that the packet goes on after the jump to this chain. */
  decisions(chain: Rule["chain"]): readonly Decision[] {
    const rules = this.#chains.get(chain) ?? [];
    return rules.reduceRight<readonly Decision[]>(
      (after, rule) => this.#decide(rule, after),
      [{ conditions: [], outcome: passes }],
    );
  }

  /** @param after the decisions of the rules that follow in the chain */
  #decide({ action, ...rule }: Rule, after: readonly Decision[]): readonly Decision[] {
    const conditions = this.#conditionsOf({ action, ...rule });
    if (conditions === undefined) return after;
    if (action.kind !== "jump") {
      const outcome = outcomeOf(action);
      return outcome === undefined ? after : [{ conditions, outcome }, ...after];
    }
    // `after` follows for what passes the whole chain, as for what never jumps
    const target = this.decisions(action.chain);
    const deciding = target.at(-1)?.outcome.kind === "passes" ? target.slice(0, -1) : target;
    const all = [...continued(deciding, after, conditions), ...after];
    // else their number multiplies with each jump
    return deciding.some(({ outcome }) => outcome.kind === "passes") ? reachable(all) : all;
  }
}

/** Undefined for what decides nothing: the next rule follows. */
function outcomeOf(action: Exclude<Action, { kind: "jump" }>): Outcome | undefined {
  switch (action.kind) {
    case "accept":
    case "return":
      return passes;
    case "drop":
      return { kind: "dropped" };
    case "redirect":
    case "tproxy":
      return { kind: "redirected", port: action.port, keepsSource: action.kind === "tproxy" };
    case "set-mark":
    case "save-mark":
    case "restore-mark":
    case "set-zone":
      return undefined;
    default:
      return assertNever(action);
  }
}

/** Decisions under further conditions; the decisions after them follow for what passes. */
function continued(
  decisions: readonly Decision[],
  after: readonly Decision[],
  conditions: readonly Condition[] = [],
): readonly Decision[] {
  return decisions.flatMap((decision) => {
    const all = union(conditions, decision.conditions);
    if (decision.outcome.kind !== "passes") return [{ ...decision, conditions: all }];
    return after.map((later) => ({ ...later, conditions: union(all, later.conditions) }));
  });
}

function union(some: readonly Condition[], more: readonly Condition[]): readonly Condition[] {
  return [...some, ...more.filter(({ text }) => !some.some((one) => one.text === text))];
}

/** Without decisions that no packet gets: their conditions exclude each other, or an earlier decision has no others. */
function reachable(decisions: readonly Decision[]): readonly Decision[] {
  const found = new Set<string>();
  return decisions.filter(({ conditions }) => {
    const isPossible = !conditions.some((one) => conditions.some((other) => excludeEachOther(one, other)));
    const [all = "", ...parts] = partsOf(conditions);
    const isNew = isPossible && ![all, ...parts].some((part) => found.has(part));
    if (isNew) found.add(all);
    return isNew;
  });
}

/** A name for each selection of the conditions, that of all first. A rule has few conditions; lists have thousands of rules. */
function partsOf(conditions: readonly Condition[]): readonly string[] {
  const texts = conditions.map(({ text }) => text).sort();
  return texts.reduce<readonly string[]>((parts, text) => [...parts.map((part) => `${part}\n${text}`), ...parts], [""]);
}

/** Two neighbours that say the same of all IPv4 and of all IPv6 are one. */
function joinFamilies(decisions: readonly Decision[]): readonly Decision[] {
  const textOf = ({ conditions, outcome }: Decision): string =>
    JSON.stringify([conditions.filter((one) => !isWholeFamily(one)), outcome]);
  return decisions.flatMap((decision, index) => {
    const [before, after] = [decisions[index - 1], decisions[index + 1]];
    const isOther = (one: Decision | undefined): boolean =>
      one !== undefined &&
      [one, decision].every((each) => each.conditions.some(isWholeFamily)) &&
      textOf(one) === textOf(decision);
    if (isOther(before)) return [];
    return isOther(after)
      ? [{ ...decision, conditions: decision.conditions.filter((one) => !isWholeFamily(one)) }]
      : [decision];
  });
}

/** A decision is left out if the last one, which is for every other packet, is the same, and so are those between. */
function withoutRepeats(decisions: readonly Decision[]): readonly Decision[] {
  const last = decisions.at(-1);
  const same = (one: Decision): boolean => JSON.stringify(one.outcome) === JSON.stringify(last?.outcome);
  const end = decisions.findLastIndex((one) => !same(one)) + 1;
  return [...decisions.slice(0, end), ...(last === undefined ? [] : [last])];
}
