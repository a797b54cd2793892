// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../lib/log.ts";
import type { Measure } from "../lib/measures.ts";
import { BodyFilter, type CommentVerdict } from "./body-filter.ts";

/**
 * The families that an answer has declared so far. A family that a second part declares too keeps its first type and
 * help lines alone, or no parser would take the answer; its samples stay.
 */
export class FamilyRegister {
  readonly #declaredBy = new Map<string, string>();
  readonly #duplicates: Measure;
  readonly #log: Logger;

  constructor(duplicates: Measure, log: Logger) {
    this.#duplicates = duplicates;
    this.#log = log;
  }

  /** A filter for one part of the answer, in the order of the parts. */
  part(label: string): BodyFilter {
    const reported = new Set<string>();
    return new BodyFilter((line): CommentVerdict => {
      const [, word, family = ""] = line.split(/\s+/, 3);
      if (word === "EOF") return "drop";
      if (word !== "TYPE" && word !== "HELP" && word !== "UNIT") return "keep";
      const owner = this.#declaredBy.get(family);
      if (owner === undefined || owner === label) {
        this.#declaredBy.set(family, label);
        return "keep";
      }
      if (!reported.has(family)) {
        reported.add(family);
        this.#duplicates.inc();
        this.#log.warn("metric family is declared by two parts of a scrape", { family, first: owner, second: label });
      }
      return "drop";
    });
  }
}
