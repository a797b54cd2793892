// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { readStatusPort } from "../../config/sources/status-port.ts";
import { deadline, systemClock } from "../../lib/async/clock.ts";
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { renderLine, renderLogTime } from "../../lib/log/log-format.ts";
import { startTask } from "../../lib/async/tasks.ts";
import { type Command, type CommandContext, OutputError, parseCommandFlags, UsageError } from "../command.ts";
import { limitPeerText } from "../../lib/printable-text.ts";
import { withoutMoments } from "../../lib/relative-time.ts";
import { ReadinessPoll, renderMissing } from "../readiness-poll.ts";

const flags = {
  ...globalFlags,
  url: {
    type: "string",
    default: "http://localhost:15021/healthz/ready",
    meaning: "URL to poll until it returns 200; a timeout exits with 255 if no agent responded, else with 1",
  },
  timeoutSeconds: { type: "int", default: "60", meaning: "maximum number of seconds to wait" },
  periodMillis: {
    type: "int",
    default: "500",
    meaning: "milliseconds between two requests, if the server is not an agent",
  },
  requestTimeoutMillis: { type: "int", default: "500", meaning: "timeout of one request in milliseconds" },
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "wait until the proxy is ready",
  flags,
  examples: [
    { line: "attache wait", meaning: "in a postStart hook: until the proxy is ready, for at most a minute" },
    { line: "attache wait --timeoutSeconds 5", meaning: "for 5 seconds, and then say what is missing" },
  ],
  exitCodes: [
    [0, "ready"],
    [1, "not ready in time; the message says what is missing"],
    [255, "not ready in time, --url was given, and no agent responded"],
  ],
  run,
};

/** The proxy was not ready in time. */
export class WaitError extends AgentError {
  readonly code = "AGENT_WAIT";
  override readonly exitCode = exitCode.failed;
}

/** The given address does not belong to an agent, and was not ready in time. */
export class WaitForeignError extends AgentError {
  readonly code = "AGENT_WAIT_FOREIGN";
  override readonly exitCode = exitCode.unsuccessful;
}

async function run({ args, env, print, stop }: CommandContext): Promise<number> {
  const { values, given } = parseCommandFlags("wait", args, flags);
  const { timeoutSeconds, periodMillis: periodMs, requestTimeoutMillis: timeoutMs } = values;
  const address = new ReadinessPoll(parseUrl(values.url), { periodMs, timeoutMs }, systemClock);
  const statusUrl = new URL(`http://localhost:${String(await readStatusPort(env))}/healthz/ready`);
  const agent = new ReadinessPoll(statusUrl, { periodMs, timeoutMs }, systemClock);
  const log = (msg: string): void => {
    const line = { level: "info", time: renderLogTime(systemClock.now()), msg };
    try {
      print(renderLine(line, values.log_as_json ? "json" : "text"));
    } catch (error) {
      // a hook of the kubelet needs the result, not the line
      if (!(error instanceof OutputError)) throw error;
    }
  };
  log(`Waiting for Envoy proxy to be ready (timeout: ${String(timeoutSeconds)} seconds)...`);
  using limit = deadline(systemClock, timeoutSeconds * 1_000, stop);
  // a bootstrap of the user's own need not have Envoy's readiness listener
  const mayBeAbsent = !given.has("url");
  const waited = { address, agent, mayBeAbsent };
  const describe = (): Promise<string> => describeMissing(waited, statusUrl, env);
  if (await isReadyInTime(waited, limit.signal, (signal) => reportProgress(agent, describe, log, signal))) {
    log("Envoy is ready!");
    return exitCode.ok;
  }
  if (!stop.aborted && agent.missing !== undefined) await agent.request(AbortSignal.timeout(lastRequestMs));
  const cause = stop.aborted ? "stopped while" : "timeout";
  // what the agent says is cut there already
  limitPeerText({ size: longestText, admits: (length) => length <= longestText });
  const message = `${cause} waiting for Envoy proxy to become ready: ${await describe()}`;
  const isForeign = agent.missing === undefined && address.missing === undefined && given.has("url");
  throw isForeign ? new WaitForeignError(message) : new WaitError(message);
}

const longestText = 4_000;

/** What is missing now, the cause alone. Without an agent also what it left, and the problem with the address. */
async function describeMissing(
  { address, agent }: Waited,
  statusUrl: URL,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const { isLate, isRefused, lastProblem } = agent;
  // where another program took the port, that may be silent
  const isGone = isLate || isRefused || agent.missing === undefined;
  const exit = isGone ? await exitOf(env) : undefined;
  if (exit !== undefined) return `missing agent (${exit})`;
  const missing = agent.missing ?? address.missing;
  const text = renderMissing({ missing, isLate, lastProblem }, statusUrl);
  if (isLate) return text;
  if (missing === undefined) return `${text}. Last error: ${address.lastProblem}`;
  if (isRefused) return `${text}; ${renderMissing({ missing: undefined, isLate, lastProblem }, statusUrl)}`;
  return missing.length > 0 ? text : `${text}: ${address.lastProblem}; attache status says whether Envoy responds`;
}

/** Loaded here: a pod that becomes ready needs none of it. */
async function exitOf(env: Readonly<Record<string, string>>): Promise<string | undefined> {
  const { readExitReport } = await import("../../diagnosis/exit-report.ts");
  return await readExitReport(env, systemClock.now());
}

/** A start usually takes less. */
const firstReportMs = 1_500;
const reportEveryMs = 1_000;
const mostReports = 10;

/** Says what is missing while it waits, once for each cause: a user need not wait for the timeout. */
async function reportProgress(
  agent: ReadinessPoll,
  describe: () => Promise<string>,
  log: (msg: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const reported = new Set<string>();
  for (let delayMs = firstReportMs; reported.size < mostReports; delayMs = reportEveryMs) {
    await systemClock.delay(delayMs, signal);
    await agent.request(signal);
    if (signal.aborted) return;
    const text = await describe();
    // numbers such as a duration change without a change of the cause
    const kind = withoutMoments(text).replaceAll(/\d+/g, "");
    if (!reported.has(kind)) log(`Not ready yet: ${text}`);
    reported.add(kind);
  }
}

/** Time limit of the last request, which finds out what is missing. */
const lastRequestMs = 600;

interface Waited {
  readonly address: ReadinessPoll;
  readonly agent: ReadinessPoll;
  /** Whether the agent's response suffices where nothing listens at the address. */
  readonly mayBeAbsent: boolean;
}

/** The agent's status port reports the moment of readiness; the address decides the result. */
async function isReadyInTime(
  { address, agent, mayBeAbsent }: Waited,
  limit: AbortSignal,
  report: (signal: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const ready = new AbortController();
  await using _report = startTask(
    (stop) => report(AbortSignal.any([stop, limit])),
    () => undefined,
  );
  await using _agent = startTask(
    async (stop) => {
      await agent.untilReady(AbortSignal.any([stop, limit]));
      ready.abort();
    },
    () => undefined,
  );
  return await address.untilReady(limit, ready.signal, mayBeAbsent).then(
    () => true,
    () => false,
  );
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new UsageError("wait", `--url: ${JSON.stringify(text)} is not a URL`);
  }
}
