// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../lib/log/log.ts";
import type { Counter } from "../lib/metrics.ts";

/** `repeated`: another part declared it with the same type; `conflicting`: with another type. */
export type Declaration = "first" | "repeated" | "conflicting";

/**
 * The families that an answer has declared so far. Two parts that declare the same one would make the whole answer
 * unreadable, so this is counted and told, and the second declaration is left out.
 */
export class FamilyRegister {
  readonly #declared = new Map<string, { readonly type: string; readonly label: string }>();
  readonly #duplicates: Counter;
  readonly #log: Logger;

  constructor(duplicates: Counter, log: Logger) {
    this.#duplicates = duplicates;
    this.#log = log;
  }

  /** @param label of the part that declares */
  declare(family: string, type: string, label: string): Declaration {
    const first = this.#declared.get(family);
    if (first === undefined) {
      this.#declared.set(family, { type, label });
      return "first";
    }
    this.#duplicates.inc();
    const fields = { family, first: first.label, firstType: first.type, second: label, secondType: type };
    if (first.type === type) {
      this.#log.debug("metric family is declared by two parts of a scrape", fields);
      return "repeated";
    }
    this.#log.warn("metric family is declared with two types, the second is left out of the scrape", fields);
    return "conflicting";
  }
}
