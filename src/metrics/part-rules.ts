// SPDX-License-Identifier: Apache-2.0
import type { CommentVerdict, LineRules } from "./body-filter.ts";
import type { FamilyRegister } from "./family-register.ts";
import {
  type FamilyDeclaration,
  openMetricsFamily,
  openMetricsSamples,
  textFamily,
  textSamples,
} from "./format-conversion.ts";
import type { ScrapeFormat } from "./scrape-format.ts";

export interface PartFormats {
  /** Of the part. */
  readonly from: ScrapeFormat["kind"];
  /** Of the whole answer. */
  readonly to: ScrapeFormat["kind"];
}

const nothing = Buffer.alloc(0);

/** The rules for one part of an answer: one declaration of each family, in the format of the answer. */
export class PartRules implements LineRules {
  readonly #register: FamilyRegister;
  readonly #label: string;
  readonly #formats: PartFormats;
  /** The help of a family whose type is still to come. */
  #help: { readonly family: string; readonly text: string } | undefined;
  /** The family that the lines belong to, in the words of the part. */
  #family = "";
  #type = "";
  #left = false;

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
      if (family !== this.#family) this.#leave();
      return "drop";
    }
    // a unit stands between help and type, and is not worth a place of its own
    return word === undefined && this.#formats.to === "text" ? "keep" : "drop";
  }

  samples(lines: Buffer): Buffer | undefined {
    if (this.#left) return nothing;
    const { from, to } = this.#formats;
    if (from === to) return undefined;
    return to === "openmetrics" ? openMetricsSamples(lines, this.#type) : textSamples(lines);
  }

  /** Another family begins: nothing is known of it until its type comes. */
  #leave(): void {
    this.#family = "";
    this.#type = "";
    this.#left = false;
  }

  #declare(family: string, type: string): CommentVerdict {
    this.#leave();
    this.#family = family;
    this.#type = type;
    const help = this.#help?.family === family ? this.#help.text : undefined;
    this.#help = undefined;
    const converted = this.#converted(family, type);
    const declaration = this.#register.declare(converted.family, converted.type, this.#label);
    this.#left = declaration === "conflicting";
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
