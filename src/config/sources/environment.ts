// SPDX-License-Identifier: Apache-2.0
import { parseGoDuration } from "../../lib/go-duration.ts";
import { type Findings, shown } from "../config-error.ts";
import { type VariableName, type VariableNameOf, variables } from "./variables.ts";

const boolTexts = new Map<string, boolean>([
  ...["1", "t", "T", "TRUE", "true", "True"].map((text) => [text, true] as const),
  ...["0", "f", "F", "FALSE", "false", "False"].map((text) => [text, false] as const),
]);

/** A boolean as Go reads it, or undefined. */
export function parseBool(text: string): boolean | undefined {
  return boolTexts.get(text);
}

/** A file's mode in octal, such as 0600, or undefined. */
export function parseMode(text: string): number | undefined {
  return /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

/** A whole number in decimal, or undefined. */
export function parseInteger(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/**
 * The environment, read by the table of variables. An invalid value is a warning that names the variable, and the
 * default is used, as in the reference.
 */
export class Environment {
  readonly #env: Readonly<Record<string, string>>;
  readonly #findings: Findings;

  constructor(env: Readonly<Record<string, string>>, findings: Findings) {
    this.#env = env;
    this.#findings = findings;
  }

  get all(): Readonly<Record<string, string>> {
    return this.#env;
  }

  isSet(name: VariableName): boolean {
    return this.#env[name] !== undefined;
  }

  /** Set but empty is a value. */
  string(name: VariableNameOf<"string">): string {
    return this.#env[name] ?? variables[name].default;
  }

  bool(name: VariableNameOf<"bool">): boolean {
    return this.#read(name, "a boolean (true or false)", parseBool) ?? variables[name].default === "true";
  }

  int(name: VariableNameOf<"int">): number {
    return this.#read(name, "a whole number", parseInteger) ?? Number(variables[name].default);
  }

  float(name: VariableNameOf<"float">): number {
    const parse = (text: string): number | undefined => {
      const value = Number(text);
      return text.trim() === "" || !Number.isFinite(value) ? undefined : value;
    };
    return this.#read(name, "a number", parse) ?? Number(variables[name].default);
  }

  durationMs(name: VariableNameOf<"duration">): number {
    return (
      this.#read(name, "a duration such as 30s or 1h30m", parseGoDuration) ??
      parseGoDuration(variables[name].default) ??
      0
    );
  }

  #read<T>(name: VariableName, form: string, parse: (text: string) => T | undefined): T | undefined {
    const text = this.#env[name];
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined) {
      this.#findings.warn(name, `${shown(text)} is not ${form}; using the default ${variables[name].default}`);
    }
    return value;
  }
}
