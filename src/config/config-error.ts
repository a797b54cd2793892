// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import type { JsonValue } from "../lib/json.ts";
import { exitCode } from "../lib/exit-code.ts";
import type { ConfigWarning } from "./agent-config.ts";

/** One problem, and where it is. */
export interface ConfigProblem {
  /** The flag, variable, annotation or file, with the path of the field in it. */
  readonly source: string;
  readonly message: string;
}

/** The configuration is invalid. Holds every problem, not only the first. */
export class ConfigError extends AgentError {
  readonly code = "AGENT_CONFIG";
  override readonly exitCode = exitCode.configuration;
  readonly problems: readonly ConfigProblem[];
  /** The warnings of unknown names. Often they are the reason: a misspelt variable leaves another one unset. */
  readonly warnings: readonly ConfigWarning[];
  constructor(problems: readonly ConfigProblem[], warnings: readonly ConfigWarning[] = []) {
    super(`configuration: ${problems.map(({ source, message }) => `${source}: ${message}`).join("; ")}`);
    this.problems = problems;
    this.warnings = warnings.filter(({ message }) => /\bunknown\b|\(did you mean /.test(message));
  }
}

/** Collects problems and warnings, so that all are reported together, each once. */
export class Findings {
  readonly #problems: ConfigProblem[] = [];
  readonly #warnings: ConfigWarning[] = [];

  problem(source: string, message: string): void {
    const known = this.#problems.some((problem) => problem.source === source && problem.message === message);
    if (!known) this.#problems.push({ source, message });
  }

  warn(source: string, message: string): void {
    const known = this.#warnings.some((warning) => warning.source === source && warning.message === message);
    if (!known) this.#warnings.push({ source, message });
  }

  get warnings(): readonly ConfigWarning[] {
    return this.#warnings;
  }

  get problems(): readonly ConfigProblem[] {
    return this.#problems;
  }

  /** @throws ConfigError with every problem, when there is one */
  assertValid(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems, this.#warnings);
  }
}

const longestShown = 80;

/** A value for a message: as JSON, on one line, not longer than a line. */
export function shown(value: JsonValue): string {
  const cut = (text: string): string => (text.length > longestShown ? `${text.slice(0, longestShown)}…` : text);
  return typeof value === "string" ? JSON.stringify(cut(value)) : cut(JSON.stringify(value));
}
