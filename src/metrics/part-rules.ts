// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../lib/log/log.ts";
import type { Counter } from "../lib/metrics.ts";
import type { CommentVerdict, LineRules } from "./body-filter.ts";
import {
  type FamilyDeclaration,
  openMetricsFamily,
  openMetricsSamples,
  textFamily,
  textSamples,
} from "./format-conversion.ts";
import type { ScrapeFormat } from "./negotiation.ts";

/** `repeated`: another part declared the family with the same type; `conflicting`: with another type. */
type Declaration = "first" | "repeated" | "conflicting";

/**
 * The families that a response has declared so far. A family that is declared twice makes a response unreadable, so the
 * second declaration is counted, logged and left out.
 */
export class FamilyRegister {
  readonly #declared = new Map<string, { readonly type: string; readonly label: string }>();
  readonly #duplicates: Counter;
  readonly #log: Logger;

  constructor(duplicates: Counter, log: Logger) {
    this.#duplicates = duplicates;
    this.#log = log;
  }

  /** @param label of the part that declares the family */
  declare(family: string, type: string, label: string): Declaration {
    const first = this.#declared.get(family);
    if (first === undefined) {
      this.#declared.set(family, { type, label });
      return "first";
    }
    this.#duplicates.inc();
    const fields = { family, first: first.label, firstType: first.type, second: label, secondType: type };
    if (first.type === type) {
      this.#log.debug("two parts of a scrape declare the same metric family", fields);
      return "repeated";
    }
    this.#log.warn(
      "two parts of a scrape declare a metric family with different types; leaving the second out",
      fields,
    );
    return "conflicting";
  }
}

export interface PartFormats {
  /** Of the part. */
  readonly from: ScrapeFormat["kind"];
  /** Of the response. */
  readonly to: ScrapeFormat["kind"];
}

const nothing = Buffer.alloc(0);

/** The rules for one part of a response: one declaration of each family, in the format of the response. */
export class PartRules implements LineRules {
  readonly #register: FamilyRegister;
  readonly #label: string;
  readonly #formats: PartFormats;
  /** The HELP line of a family whose TYPE line has not come yet. */
  #help: { readonly family: string; readonly text: string } | undefined;
  /** The family of the current lines, as the part names it. */
  #family = "";
  #type = "";
  #leftOut = false;

  constructor(register: FamilyRegister, label: string, formats: PartFormats) {
    this.#register = register;
    this.#label = label;
    this.#formats = formats;
  }

  comment(line: string): CommentVerdict {
    const match = /^#\s+(HELP|TYPE|UNIT|EOF)(?:\s+(\S+)(?:\s+(.*))?)?$/.exec(line);
    const [, word, family = "", rest = ""] = match ?? [];
    if (word === "TYPE") return this.#declare(family, rest.trim());
    if (word === "HELP") {
      this.#help = { family, text: rest };
      if (family !== this.#family) this.#reset();
      return "drop";
    }
    // a UNIT line between HELP and TYPE is dropped with the others
    return word === undefined && this.#formats.to === "text" ? "keep" : "drop";
  }

  samples(lines: Buffer): Buffer | undefined {
    if (this.#leftOut) return nothing;
    const { from, to } = this.#formats;
    if (from === to) return undefined;
    return to === "openmetrics" ? openMetricsSamples(lines, this.#type) : textSamples(lines);
  }

  /** Another family begins; its TYPE line has not come yet. */
  #reset(): void {
    this.#family = "";
    this.#type = "";
    this.#leftOut = false;
  }

  #declare(family: string, type: string): CommentVerdict {
    this.#reset();
    this.#family = family;
    this.#type = type;
    const help = this.#help?.family === family ? this.#help.text : undefined;
    this.#help = undefined;
    const converted = this.#converted(family, type);
    const declaration = this.#register.declare(converted.family, converted.type, this.#label);
    this.#leftOut = declaration === "conflicting";
    if (declaration !== "first") return "drop";
    const typeLine = `# TYPE ${converted.family} ${converted.type}`;
    return { lines: help === undefined ? [typeLine] : [`# HELP ${converted.family} ${help}`, typeLine] };
  }

  #converted(family: string, type: string): FamilyDeclaration {
    const { from, to } = this.#formats;
    if (from === to) return { family, type };
    return to === "openmetrics" ? openMetricsFamily(family, type) : textFamily(family, type);
  }
}
