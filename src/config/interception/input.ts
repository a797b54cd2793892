// SPDX-License-Identifier: Apache-2.0
import type { ParsedFlags } from "../../lib/flags.ts";
import { type Findings, shown } from "../config-error.ts";
import { parseBool } from "../sources/environment.ts";
import {
  type InterceptionSettingName,
  type InterceptionVariableName,
  interceptionSettings,
  interceptionVariables,
} from "./settings.ts";
import type { interceptionFlags } from "./settings.ts";
import { splitList } from "./values.ts";

/** A value's text, and the flag or variable that it comes from. */
export interface SettingText {
  readonly text: string;
  readonly source: string;
}

/** The command line without what is unknown on it. */
export type InterceptionFlags = Pick<ParsedFlags<typeof interceptionFlags>, "values" | "given" | "problems">;

/** The flags and the variables as one input, and where problems go. */
export class InterceptionInput {
  readonly findings: Findings;
  readonly #flags: InterceptionFlags;
  readonly #env: Readonly<Record<string, string>>;

  constructor(flags: InterceptionFlags, env: Readonly<Record<string, string>>, findings: Findings) {
    this.#flags = flags;
    this.#env = env;
    this.findings = findings;
    for (const { flag, message } of flags.problems) findings.problem(flag, message);
  }

  /** The flag if it is given, else the first of its variables that is set, else the default. */
  setting(name: InterceptionSettingName): SettingText {
    const spec = interceptionSettings[name];
    if (this.#flags.given.has(name)) return { text: String(this.#flags.values[name]), source: `--${name}` };
    for (const variable of spec.variables) {
      const text = this.#env[variable];
      if (text === undefined || text === "" || (spec.type === "int" && isServiceLink(text))) continue;
      return { text, source: variable };
    }
    return { text: spec.default, source: `--${name}` };
  }

  variable(name: InterceptionVariableName): SettingText {
    return { text: this.#env[name] || interceptionVariables[name].default, source: name };
  }

  isSet(name: InterceptionVariableName): boolean {
    return (this.#env[name] ?? "") !== "";
  }

  /** Undefined if it is not set and has no default. */
  bool(name: InterceptionSettingName): boolean | undefined {
    const { text, source } = this.setting(name);
    if (text === "") return undefined;
    const value = parseBool(text);
    if (value === undefined) this.findings.problem(source, `${shown(text)} is not true or false`);
    return value;
  }

  /** @returns the fallback after a problem, which is reported */
  value<T extends number | object>(setting: SettingText, parse: (text: string) => T | string, fallback: T): T {
    const value = parse(setting.text);
    if (typeof value !== "string") return value;
    this.findings.problem(setting.source, `${shown(setting.text)} ${value}`);
    return fallback;
  }

  /** Every item of a list; those with a problem are reported and left out. */
  list<T extends number | object>({ text, source }: SettingText, parse: (item: string) => T | string): readonly T[] {
    return splitList(text).flatMap((item) => {
      const value = parse(item);
      if (typeof value !== "string") return [value];
      this.findings.problem(source, `${shown(item)} ${value}`);
      return [];
    });
  }
}

/** Kubernetes sets `ENVOY_PORT=tcp://10.0.0.1:80` in pods of a namespace with a service `envoy`. */
function isServiceLink(text: string): boolean {
  return /^(tcp|udp|sctp):\/\//.test(text);
}
