// SPDX-License-Identifier: Apache-2.0
import { type FlagSpecs, type ParsedFlags, parseFlags } from "../lib/flags.ts";
import { UsageError } from "./usage-error.ts";

/**
 * Reads a command's words strictly: what the command does not know is an error.
 * @throws UsageError
 */
export function parseCommandFlags<S extends FlagSpecs>(
  command: string,
  args: readonly string[],
  specs: S,
): ParsedFlags<S> {
  const parsed = parseFlags(args, specs);
  const [unknown] = parsed.unknown;
  if (unknown !== undefined) throw new UsageError(command, unknown.message);
  const [problem] = parsed.problems;
  if (problem !== undefined) throw new UsageError(command, `${problem.flag}: ${problem.message}`);
  return parsed;
}
