// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:os";
import { isatty } from "node:tty";
import { type Clock, deadline, systemClock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { requestHttp } from "../../lib/net/http-client.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";
import { ReadinessPoll, renderMissing } from "../readiness-poll.ts";
import { runChild } from "../run-child.ts";
import { StopRequest } from "../signals.ts";

export const command: Command = {
  summary: "wait until the proxy is ready, run a job's program, and shut down the agent when the program exits",
  usage: "[FLAGS] -- COMMAND [ARGS]",
  get flags() {
    return execFlags;
  },
  examples: [
    {
      line: "attache exec -- ./job --all",
      meaning: "a Job's command: with a ready proxy, which is shut down afterwards",
    },
    {
      line: "attache exec --timeout-fatal=false --ready-timeout 5s -- ./job",
      meaning: "run it after 5 seconds in any case",
    },
  ],
  exitCodes: [
    ["any", "that of the program; 128 + signal where a signal killed it"],
    [69, "the proxy was not ready in time"],
  ],
  run,
};

export const execFlags = {
  "debug-port": { type: "int", default: "15020", meaning: "status port of the agent" },
  "ready-timeout": {
    type: "string",
    default: "60s",
    meaning: "how long to wait until the proxy is ready, before the program runs; 0s runs it at once",
  },
  "agent-timeout": {
    type: "string",
    default: "30s",
    meaning: "how long to wait for an agent that does not respond at all; then the program runs without one",
  },
  "timeout-fatal": {
    type: "bool",
    default: "true",
    meaning:
      "exit with 69 when the proxy is not ready in time, without running the program; false runs it all the same. " +
      "If given as true, a missing agent is fatal too",
  },
  "quit-timeout": {
    type: "string",
    default: "2s",
    meaning: "how long to try to reach the agent after the program has exited",
  },
} as const satisfies FlagSpecs;

/**
 * Waits until the proxy is ready, runs the program, forwards signals to it, and returns its exit code. The agent is shut
 * down in any case, also when the program cannot be run: a job whose proxy keeps running never completes. Without an
 * agent the program runs all the same.
 */
async function run({ args, env, printError, stop }: CommandContext): Promise<number> {
  const { statusPort, wait, quitWithinMs, program, words } = parseExecArgs(args);
  const say = (text: string): void => {
    printError(`attache exec: ${text}\n`);
  };
  const end = await runWhenReady();
  const status = await quitAgent(statusPort, quitWithinMs, systemClock);
  if (status !== undefined && status !== 200) {
    say(`shut down the agent at port ${String(statusPort)}: HTTP status ${String(status)}`);
  }
  return end;

  async function runWhenReady(): Promise<number> {
    const notRun = await untilReady(statusPort, wait, say, stop);
    if (notRun !== undefined) return notRun;
    const child = { command: program, args: words, env, signals: process, onTerminal: isatty(0), stop };
    const { code, failure } = await runChild(child);
    if (failure !== undefined) say(`run ${program}: ${describeError(failure)}`);
    return code;
  }
}

interface WaitPolicy {
  /** 0: no wait. */
  readonly readyWithinMs: number;
  /** For the first response of an agent. */
  readonly agentWithinMs: number;
  /** Whether the program does not run when the proxy is not ready in time. */
  readonly isFatal: boolean;
  /** Whether it does not run either when there is no agent. */
  readonly needsAgent: boolean;
}

const pollPolicy = { periodMs: 250, timeoutMs: 1_000 } as const;

/**
 * Waits until the agent reports readiness.
 * @returns undefined when the program is to be run; otherwise the exit code
 */
async function untilReady(
  port: number,
  { readyWithinMs, agentWithinMs, isFatal, needsAgent }: WaitPolicy,
  say: (text: string) => void,
  stop: AbortSignal,
): Promise<number | undefined> {
  if (readyWithinMs === 0) return undefined;
  const url = new URL(`http://localhost:${String(port)}/healthz/ready`);
  const agent = new ReadinessPoll(url, pollPolicy, systemClock);
  const isThere = (): boolean => agent.hasResponded;
  using limit = deadline(systemClock, readyWithinMs, stop);
  using agentLimit = deadline(systemClock, Math.min(agentWithinMs, readyWithinMs), limit.signal);
  // without an agent, the first wait is the only one
  const isReady = (await isReadyBy(agent, agentLimit.signal)) || (isThere() && (await isReadyBy(agent, limit.signal)));
  if (stop.aborted) return stopCode(stop);
  if (isReady) return undefined;
  const problem = isThere()
    ? `the proxy was not ready within ${String(readyWithinMs)} ms: ${whatIsMissing(agent, url)}`
    : renderMissing(agent, url);
  const ends = isThere() ? isFatal : isFatal && needsAgent;
  say(`${problem}; the program ${ends ? "is not run" : "runs all the same"}`);
  return ends ? exitCode.unavailable : undefined;
}

function whatIsMissing(agent: ReadinessPoll, url: URL): string {
  return agent.missing === undefined ? agent.lastProblem : renderMissing(agent, url);
}

async function isReadyBy(agent: ReadinessPoll, limit: AbortSignal): Promise<boolean> {
  return await agent.untilReady(limit).then(
    () => true,
    () => false,
  );
}

/** As a shell reports a program that the signal ended. */
function stopCode({ reason }: AbortSignal): number {
  return reason instanceof StopRequest ? 128 + constants.signals[reason.signal] : exitCode.internal;
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
  readonly wait: WaitPolicy;
  readonly quitWithinMs: number;
  readonly program: string;
  readonly words: readonly string[];
}

/** Everything after `--` belongs to the program. */
export function parseExecArgs(args: readonly string[]): ExecArgs {
  const separator = args.indexOf("--");
  const { values, given, unknown, problems, positionals } = parseFlags(
    separator < 0 ? args : args.slice(0, separator),
    execFlags,
  );
  const [program, ...words] = separator < 0 ? [] : args.slice(separator + 1);
  const wrong = [...unknown, ...problems].map(({ message }) => message);
  if (positionals.length > 0) wrong.push(`unexpected ${positionals.join(" ")} before --`);
  if (program === undefined) wrong.push("name the program after --, as in: attache exec -- COMMAND ARGS");
  const durationOf = (name: "ready-timeout" | "agent-timeout" | "quit-timeout"): number => {
    const ms = parseGoDuration(values[name]);
    if (ms === undefined || ms < 0) wrong.push(`--${name} ${values[name]} is not a duration such as 2s`);
    return ms ?? 0;
  };
  const isFatal = values["timeout-fatal"];
  const wait: WaitPolicy = {
    readyWithinMs: durationOf("ready-timeout"),
    agentWithinMs: durationOf("agent-timeout"),
    isFatal,
    needsAgent: isFatal && given.has("timeout-fatal"),
  };
  const quitWithinMs = durationOf("quit-timeout");
  if (wrong.length > 0 || program === undefined) {
    throw new UsageError("exec", wrong.join("; "), Object.keys(execFlags));
  }
  return { statusPort: values["debug-port"], wait, quitWithinMs, program, words };
}
