// SPDX-License-Identifier: Apache-2.0
import type { CommentVerdict, LineRules } from "./body-filter.ts";
import type { DeclaringPart, FamilyRegister } from "./family-register.ts";
import {
  type FamilyDeclaration,
  openMetricsFamily,
  openMetricsSamples,
  textFamily,
  textSamples,
} from "./format-conversion.ts";
import { parseDeclaration } from "./metric-text.ts";
import type { ScrapeFormat } from "./negotiation.ts";

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
  readonly #part: DeclaringPart;
  readonly #formats: PartFormats;
  /** The HELP line of a family whose TYPE line has not come yet. */
  #help: { readonly family: string; readonly text: string } | undefined;
  /** The family of the current lines, as the part names it. */
  #family = "";
  #type = "";
  #leftOut = false;

  constructor(register: FamilyRegister, part: DeclaringPart, formats: PartFormats) {
    this.#register = register;
    this.#part = part;
    this.#formats = formats;
  }

  comment(line: string): CommentVerdict {
    const { word, family = "", rest = "" } = parseDeclaration(line) ?? {};
    if (word === "TYPE") return this.#declare(family, rest);
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
    const declaration = this.#register.declare(converted.family, converted.type, this.#part);
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
