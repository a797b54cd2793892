// SPDX-License-Identifier: Apache-2.0
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { UsageError } from "../command.ts";

/** Flags of `explain`, in addition to those of `proxy`. */
export const explainFlags = {
  json: { type: "bool", default: "false", meaning: "print one JSON document" },
  diff: {
    type: "string",
    default: "",
    meaning: "print only the differences from other inputs: a JSON or YAML file with env, args, labels or annotations",
  },
  validate: {
    type: "bool",
    default: "false",
    meaning: "also check the bootstrap against Envoy's API, and run Envoy with --mode validate",
  },
} as const satisfies FlagSpecs;

/** Splits the arguments of `explain` into its own flags and those of `proxy`. */
export function splitExplainFlags(args: readonly string[]) {
  const own: string[] = [];
  const proxyArgs: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? "";
    const name = word.replace(/^--/, "").split("=", 1)[0] ?? "";
    if (!word.startsWith("--") || !Object.hasOwn(explainFlags, name)) proxyArgs.push(word);
    else {
      own.push(word);
      const next = args[index + 1];
      if (name === "diff" && !word.includes("=") && next !== undefined) {
        own.push(next);
        index++;
      }
    }
  }
  const { values, problems } = parseFlags(own, explainFlags);
  const [problem] = problems;
  if (problem !== undefined) throw new UsageError("explain", `${problem.flag}: ${problem.message}`);
  return { ...values, proxyArgs };
}
