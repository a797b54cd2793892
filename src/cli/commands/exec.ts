// SPDX-License-Identifier: Apache-2.0
import { isatty } from "node:tty";
import { systemClock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";
import { quitAgent } from "../quit-agent.ts";
import { runChild } from "../run-child.ts";

export const command: Command = {
  summary: "run a job's program, and end the agent beside it when the program ends",
  usage: "[flags] -- CMD [ARGS]",
  get flags() {
    return execFlags;
  },
  run,
};

export const execFlags = {
  "debug-port": { type: "int", default: "15020", meaning: "the agent's status port" },
  "quit-timeout": {
    type: "string",
    default: "2s",
    meaning: "for how long to look for the agent when the program ended",
  },
} as const satisfies FlagSpecs;

/**
 * Runs the program, passes signals on to it, and ends with its code. Whatever ended it, also that it could not be run,
 * the agent is told to end: a job whose proxy goes on never finishes. Without an agent it runs all the same.
 */
async function run({ args, env, printError, stop }: CommandContext): Promise<number> {
  const { statusPort, quitWithinMs, program, words } = parseExecArgs(args);
  const end = await runChild({ command: program, args: words, env, signals: process, onTerminal: isatty(0), stop });
  if (end.failure !== undefined) printError(`attache exec: run ${program}: ${describeError(end.failure)}\n`);
  const outcome = await quitAgent({ statusPort, withinMs: quitWithinMs }, systemClock);
  if (outcome.kind === "refused") {
    printError(`attache exec: end the agent at port ${String(statusPort)}: it answered ${String(outcome.status)}\n`);
  }
  return end.code;
}

interface ExecArgs {
  readonly statusPort: number;
  readonly quitWithinMs: number;
  readonly program: string;
  readonly words: readonly string[];
}

/** Flags end at `--`, or at the program's name; what follows belongs to the program. */
export function parseExecArgs(args: readonly string[]): ExecArgs {
  const separator = args.indexOf("--");
  const { values, unknown, problems, positionals } = parseFlags(
    separator < 0 ? args : args.slice(0, separator),
    execFlags,
  );
  const [program, ...words] = separator < 0 ? [] : args.slice(separator + 1);
  const wrong = [...unknown, ...problems].map(({ message }) => message);
  if (positionals.length > 0) wrong.push(`unexpected ${positionals.join(" ")} before --`);
  if (program === undefined) wrong.push("name the program after --, as in: attache exec -- CMD ARGS");
  const quitWithinMs = parseGoDuration(values["quit-timeout"]);
  if (quitWithinMs === undefined) wrong.push(`--quit-timeout ${values["quit-timeout"]} is not a duration such as 2s`);
  if (wrong.length > 0 || program === undefined || quitWithinMs === undefined) {
    throw new UsageError("exec", wrong.join("; "), Object.keys(execFlags));
  }
  return { statusPort: values["debug-port"], quitWithinMs, program, words };
}
