// SPDX-License-Identifier: Apache-2.0

/** The level of one logger. */
export interface LogLevelRow {
  readonly program: "agent" | "envoy";
  readonly logger: string;
  readonly level: string;
  /** The level applies for a while only. */
  readonly isTemporary: boolean;
}

/**
 * Parses a list of levels: of Envoy's `/logging`, whose first line is a title, or of the agent's `/debug/logging`.
 * Lines of another form are left out.
 */
export function parseLogLevels(program: LogLevelRow["program"], text: string): readonly LogLevelRow[] {
  return text.split("\n").flatMap((line) => {
    const [, logger, level, note] = /^\s*([\w.-]+): ([a-z]+)(?: \((\w+)\))?$/.exec(line) ?? [];
    if (logger === undefined || level === undefined) return [];
    return [{ program, logger, level, isTemporary: note === "temporary" }];
  });
}
