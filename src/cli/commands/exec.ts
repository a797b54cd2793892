// SPDX-License-Identifier: Apache-2.0
import { isatty } from "node:tty";
import { type Clock, deadline, systemClock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { requestHttp } from "../../lib/net/http-client.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";
import { runChild } from "../run-child.ts";

export const command: Command = {
  summary: "run a job's program, and shut down the agent when the program exits",
  usage: "[FLAGS] -- COMMAND [ARGS]",
  get flags() {
    return execFlags;
  },
  run,
};

export const execFlags = {
  "debug-port": { type: "int", default: "15020", meaning: "status port of the agent" },
  "quit-timeout": {
    type: "string",
    default: "2s",
    meaning: "how long to try to reach the agent after the program has exited",
  },
} as const satisfies FlagSpecs;

/**
 * Runs the program, forwards signals to it, and returns its exit code. The agent is shut down in any case, also when the
 * program cannot be run: a job whose proxy keeps running never completes. Without an agent the program runs all the same.
 */
async function run({ args, env, printError, stop }: CommandContext): Promise<number> {
  const { statusPort, quitWithinMs, program, words } = parseExecArgs(args);
  const end = await runChild({ command: program, args: words, env, signals: process, onTerminal: isatty(0), stop });
  if (end.failure !== undefined) printError(`attache exec: run ${program}: ${describeError(end.failure)}\n`);
  const status = await quitAgent(statusPort, quitWithinMs, systemClock);
  if (status !== undefined && status !== 200) {
    printError(`attache exec: shut down the agent at port ${String(statusPort)}: HTTP status ${String(status)}\n`);
  }
  return end.code;
}

const retryAfterMs = 100;

/**
 * Shuts down the agent on this machine's loopback, which may still be starting.
 * @returns the status of its response; undefined when there was no agent within the time
 */
async function quitAgent(port: number, withinMs: number, clock: Clock): Promise<number | undefined> {
  using limit = deadline(clock, withinMs);
  // localhost: both address families are tried
  const url = { host: "localhost", port, path: "/quitquitquit" };
  while (!limit.signal.aborted) {
    const response = await requestHttp({ url, method: "POST" }, limit.signal).catch(() => undefined);
    if (response !== undefined) return response.status;
    await clock.delay(retryAfterMs, limit.signal).catch(() => undefined);
  }
  return undefined;
}

interface ExecArgs {
  readonly statusPort: number;
  readonly quitWithinMs: number;
  readonly program: string;
  readonly words: readonly string[];
}

/** Everything after `--` belongs to the program. */
export function parseExecArgs(args: readonly string[]): ExecArgs {
  const separator = args.indexOf("--");
  const { values, unknown, problems, positionals } = parseFlags(
    separator < 0 ? args : args.slice(0, separator),
    execFlags,
  );
  const [program, ...words] = separator < 0 ? [] : args.slice(separator + 1);
  const wrong = [...unknown, ...problems].map(({ message }) => message);
  if (positionals.length > 0) wrong.push(`unexpected ${positionals.join(" ")} before --`);
  if (program === undefined) wrong.push("name the program after --, as in: attache exec -- COMMAND ARGS");
  const quitWithinMs = parseGoDuration(values["quit-timeout"]);
  if (quitWithinMs === undefined) wrong.push(`--quit-timeout ${values["quit-timeout"]} is not a duration such as 2s`);
  if (wrong.length > 0 || program === undefined || quitWithinMs === undefined) {
    throw new UsageError("exec", wrong.join("; "), Object.keys(execFlags));
  }
  return { statusPort: values["debug-port"], quitWithinMs, program, words };
}
