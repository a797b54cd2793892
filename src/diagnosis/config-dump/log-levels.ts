// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, objectsOf, parseJsonObject, textOf } from "../../lib/json.ts";

/** The level of one logger. */
export interface LogLevelRow {
  readonly program: "agent" | "envoy";
  readonly logger: string;
  readonly level: string;
  /** The level applies for a while only. */
  readonly isTemporary: boolean;
}

/** Parses the agent's `/debug/logging`: a document, or the list of an older agent. */
export function parseAgentLevels(text: string): readonly LogLevelRow[] {
  const document = parseJsonObject(text);
  if (document === undefined) return parseLogLevels("agent", text);
  const { scopes, envoy } = document;
  return [...rowsOf("agent", scopes), ...rowsOf("envoy", objectOf(envoy)["loggers"])];
}

function rowsOf(program: LogLevelRow["program"], list: JsonObject[string] | undefined): readonly LogLevelRow[] {
  return objectsOf(list).map(({ name, level, changed }) => {
    return { program, logger: textOf(name), level: textOf(level), isTemporary: changed === true };
  });
}

/**
 * Parses a list of levels: of Envoy's `/logging`, whose first line is a title, or of an agent. Lines of another form are
 * left out.
 */
export function parseLogLevels(program: LogLevelRow["program"], text: string): readonly LogLevelRow[] {
  return text.split("\n").flatMap((line) => {
    const [, logger, level, note] = /^\s*([\w.-]+): ([a-z]+)(?: \((\w+)\))?$/.exec(line) ?? [];
    if (logger === undefined || level === undefined) return [];
    return [{ program, logger, level, isTemporary: note === "temporary" }];
  });
}

/** Whether the agent's response has Envoy's levels too. */
export function hasEnvoyLevels(rows: readonly LogLevelRow[]): boolean {
  return rows.some(({ program }) => program === "envoy");
}
