// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../lib/budget.ts";
import type { OutageLog } from "../lib/log/outage-log.ts";
import type { Counter } from "../lib/metrics.ts";
import { type Declared, FamilyTable } from "./family-table.ts";

/** `repeated`: declared before with the same type; `conflicting`: with another type. */
export type Declaration = "first" | "repeated" | "conflicting";

export interface FamilyRegisterOptions {
  readonly duplicates: Counter;
  readonly conflicts: ConflictLog;
}

/** A part of a response. */
export interface DeclaringPart {
  readonly label: string;
  /** For its families; undefined for the agent's own, which are few. */
  readonly families: Budget | undefined;
  /** Its lines are valid, and have no names in quotes: the agent and Envoy. */
  readonly isTrusted: boolean;
}

/** The types of both formats; all others count as one. */
const types: ReadonlySet<string> = new Set([
  ...["counter", "gauge", "histogram", "summary", "untyped", "unknown", "info", "stateset", "gaugehistogram"],
]);

/**
 * The families that a response has declared so far. A family that is declared twice makes a response unreadable, so the
 * second declaration is counted, logged and left out.
 */
export class FamilyRegister {
  readonly #declared = new FamilyTable();
  readonly #options: FamilyRegisterOptions;

  constructor(options: FamilyRegisterOptions) {
    this.#options = options;
  }

  /** @throws BudgetSpentError when the part has too many declarations */
  declare(family: string, givenType: string, { label, families }: DeclaringPart): Declaration {
    const { duplicates, conflicts } = this.#options;
    // a repeated one costs as much work as a new one
    if (families?.tryTake() === false) throw families.spentError();
    const type = types.has(givenType) ? givenType : "of no known type";
    const first = this.#declared.claim(family, { label, type });
    if (first === undefined) return "first";
    duplicates.inc();
    if (first.type === type) return "repeated";
    conflicts.report(family, first, { label, type });
    return "conflicting";
  }
}

/** A family name may be as long as a line. */
const keptNameLength = 100;

/** Logs each conflict once, as long as it remembers it. */
export class ConflictLog {
  readonly #log: OutageLog;
  readonly #budget: Budget;
  /** In the order in which they were logged. */
  readonly #logged = new Set<string>();
  #hasNew = false;

  /** @param budget for the conflicts that are remembered */
  constructor(log: OutageLog, budget: Budget) {
    this.#log = log;
    this.#budget = budget;
  }

  report(name: string, first: Declared, second: Declared): void {
    const family = name.slice(0, keptNameLength);
    const conflict = `${family} ${first.type} ${second.type}`;
    if (this.#logged.has(conflict)) return;
    const [oldest] = this.#logged;
    if (!this.#budget.tryTake() && oldest !== undefined) this.#logged.delete(oldest);
    this.#logged.add(conflict);
    this.#hasNew = true;
    const [{ label: firstLabel, type: firstType }, { label: secondLabel, type: secondType }] = [first, second];
    this.#log.failed({
      level: "warn",
      message: "a metric family is declared with different types; leaving the second one out",
      kind: conflict,
      fields: { family, first: firstLabel, firstType, second: secondLabel, secondType },
    });
  }

  /** Without a new conflict, the next one is logged at once. */
  responseEnded(): void {
    if (!this.#hasNew) this.#log.works();
    this.#hasNew = false;
  }
}
