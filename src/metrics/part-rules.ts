// SPDX-License-Identifier: Apache-2.0
import type { CommentVerdict, LineRules } from "./body-filter.ts";
import type { Declaration, DeclaringPart, FamilyRegister } from "./family-register.ts";
import {
  convertedFamily,
  convertedHelp,
  convertedSamples,
  openMetricsSamples,
  type PartFormats,
} from "./format-conversion.ts";
import { renderMetricName } from "./metric-name.ts";
import { parseDeclaration } from "./metric-text.ts";
import type { PlainDeclaration } from "./plain-lines.ts";

const nothing = Buffer.alloc(0);

/** What a family says about itself before its TYPE line. */
interface Pending {
  readonly family: string;
  help?: string;
  unit?: string;
}

/** The rules for one part of a response: one declaration of each family, in the format of the response. */
export class PartRules implements LineRules {
  readonly #register: FamilyRegister;
  readonly #part: DeclaringPart;
  readonly #formats: PartFormats;
  #pending: Pending | undefined;
  /** The family of the current lines, as the part names it. */
  #family = "";
  #type = "";
  /** The family as it is written in the response. */
  #written = "";
  /** What may still be said about the family. */
  readonly #open = { help: false, unit: false };
  #leftOut = false;
  #invalidLines = 0;

  constructor(register: FamilyRegister, part: DeclaringPart, formats: PartFormats) {
    this.#register = register;
    this.#part = part;
    this.#formats = formats;
  }

  /** Lines that were left out because they are not metrics. */
  get invalidLines(): number {
    return this.#invalidLines;
  }

  get takesDeclarations(): boolean {
    const { from, to, isGrouped } = this.#formats;
    return from === to && isGrouped !== true && this.#pending === undefined;
  }

  declaration({ family, type, hasHelp }: PlainDeclaration): "keep" | "drop" {
    this.#family = family;
    if (this.#registered(family, type) !== "first") return "drop";
    this.#open.help = !hasHelp;
    this.#open.unit = true;
    return "keep";
  }

  comment(line: string): CommentVerdict {
    const { word, family = "", rest = "" } = parseDeclaration(line) ?? {};
    if (word === undefined) return this.#formats.to === "text" ? "keep" : "drop";
    if (word === "EOF" || family === "") return "drop";
    if (word === "TYPE") return this.#declare(family, rest);
    if (family === this.#family) return this.#addTo(word, rest);
    if (this.#pending?.family !== family) this.#pending = { family };
    if (word === "HELP") this.#pending.help = rest;
    else this.#pending.unit = rest;
    this.#reset();
    return "drop";
  }

  samples(lines: Buffer): Buffer | undefined {
    const help = this.#pending === undefined ? undefined : this.#declareUntyped(this.#pending);
    const samples = this.#samples(lines);
    return help === undefined ? samples : Buffer.concat([help, samples ?? lines]);
  }

  #samples(lines: Buffer): Buffer | undefined {
    if (this.#leftOut) return nothing;
    this.#open.help = false;
    this.#open.unit = false;
    const { from, to } = this.#formats;
    const isTextToOpen = from === "text" && to === "openmetrics";
    if (this.#part.isTrusted) return isTextToOpen ? openMetricsSamples(lines, this.#type) : undefined;
    const converted = convertedSamples(lines, this.#type, this.#formats);
    this.#invalidLines += converted.invalid;
    const inBounds = isTextToOpen ? openMetricsSamples(converted.lines ?? lines, this.#type) : undefined;
    return inBounds ?? converted.lines;
  }

  /** Another family begins; its TYPE line has not come yet. */
  #reset(): void {
    this.#family = "";
    this.#type = "";
    this.#open.help = false;
    this.#open.unit = false;
    this.#leftOut = false;
  }

  #declare(family: string, type: string): CommentVerdict {
    const pending = this.#pending?.family === family ? this.#pending : undefined;
    this.#pending = undefined;
    this.#family = family;
    const declaration = this.#registered(family, type);
    if (declaration === "repeated" && this.#formats.isGrouped === true) {
      return { lines: [`# TYPE ${this.#written} ${this.#type}`] };
    }
    if (declaration !== "first") return "drop";
    const lines = [`# TYPE ${this.#written} ${this.#type}`];
    if (pending?.help !== undefined) lines.unshift(this.#helpLine(pending.help));
    const unit = pending?.unit === undefined ? undefined : this.#unitLine(pending.unit);
    if (unit !== undefined) lines.push(unit);
    this.#open.help = pending?.help === undefined;
    this.#open.unit = unit === undefined;
    return { lines };
  }

  /** A family with a HELP line and no TYPE line: its samples follow. */
  #declareUntyped({ family, help }: Pending): Buffer | undefined {
    this.#pending = undefined;
    this.#family = family;
    const declaration = this.#registered(family, "untyped");
    const isWritten = declaration === "first" || (declaration === "repeated" && this.#formats.isGrouped === true);
    return isWritten && help !== undefined ? Buffer.from(`${this.#helpLine(help)}\n`) : undefined;
  }

  #registered(family: string, type: string): Declaration {
    const converted = convertedFamily(family, type, this.#formats);
    this.#written = renderMetricName(converted.family, this.#formats.names);
    this.#type = converted.type;
    const declaration = this.#register.declare(this.#written, converted.type, this.#part);
    this.#leftOut = declaration === "conflicting";
    this.#open.help = false;
    this.#open.unit = false;
    return declaration;
  }

  /** A HELP or UNIT line after the TYPE line. */
  #addTo(word: string, rest: string): CommentVerdict {
    const isHelp = word === "HELP";
    if (!(isHelp ? this.#open.help : this.#open.unit)) return "drop";
    const line = isHelp ? this.#helpLine(rest) : this.#unitLine(rest);
    if (line === undefined) return "drop";
    this.#open[isHelp ? "help" : "unit"] = false;
    return { lines: [line] };
  }

  #helpLine(text: string): string {
    return `# HELP ${this.#written} ${convertedHelp(text, this.#formats)}`;
  }

  /** Only OpenMetrics has units, which the family's name must end with. */
  #unitLine(unit: string): string | undefined {
    const isAllowed = this.#formats.to === "openmetrics" && this.#type !== "info" && this.#type !== "stateset";
    return isAllowed && unit !== "" && this.#family.endsWith(`_${unit}`)
      ? `# UNIT ${this.#written} ${unit}`
      : undefined;
  }
}
