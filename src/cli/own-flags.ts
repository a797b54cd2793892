// SPDX-License-Identifier: Apache-2.0
import { type FlagSpecs, type FlagValues, parseFlags } from "../lib/flags.ts";
import { UsageError } from "./command.ts";

export interface SplitArguments<S extends FlagSpecs> {
  readonly values: FlagValues<S>;
  /** For `proxy`'s own parser. */
  readonly proxyArgs: readonly string[];
}

/**
 * Splits the arguments of a command that takes flags of its own beside those of `proxy`.
 * @throws UsageError when a value cannot be parsed
 */
export function splitArguments<S extends FlagSpecs>(
  command: string,
  args: readonly string[],
  specs: S,
): SplitArguments<S> {
  const own: string[] = [];
  const proxyArgs: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? "";
    const spec = specOf(word, specs);
    if (spec === undefined) proxyArgs.push(word);
    else {
      own.push(word);
      const next = args[index + 1];
      const hasValue = word.includes("=") || (!word.startsWith("--") && word.length > 2);
      if (spec.type !== "bool" && !hasValue && next !== undefined) own.push(args[++index] ?? "");
    }
  }
  const { values, problems } = parseFlags(own, specs);
  const [problem] = problems;
  if (problem !== undefined) throw new UsageError(command, `${problem.flag}: ${problem.message}`);
  return { values, proxyArgs };
}

function specOf(word: string, specs: FlagSpecs) {
  if (word.startsWith("--")) {
    const name = word.slice(2).split("=", 1)[0] ?? "";
    return Object.hasOwn(specs, name) ? specs[name] : undefined;
  }
  const short = word.startsWith("-") ? word.charAt(1) : "";
  return short === "" ? undefined : Object.values(specs).find((spec) => spec.short === short);
}
