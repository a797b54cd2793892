// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { readStatusPort } from "../../config/sources/status-port.ts";
import { deadline, systemClock } from "../../lib/async/clock.ts";
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { renderLine, renderLogTime } from "../../lib/log/log-format.ts";
import { startTask } from "../../lib/async/tasks.ts";
import { AskedAddress } from "../asked-address.ts";
import { type Command, type CommandContext, parseCommandFlags, UsageError } from "../command.ts";
import type { MissingStep } from "../readiness-question.ts";

const flags = {
  ...globalFlags,
  url: {
    type: "string",
    default: "http://localhost:15021/healthz/ready",
    meaning: "address that answers 200 when ready; with an address of no agent a time-out ends with 255, else with 1",
  },
  timeoutSeconds: { type: "int", default: "60", meaning: "seconds to wait in all" },
  periodMillis: { type: "int", default: "500", meaning: "milliseconds between two tries where no agent tells" },
  requestTimeoutMillis: { type: "int", default: "500", meaning: "milliseconds that one try may take" },
} as const satisfies FlagSpecs;

export const command: Command = { summary: "wait until the proxy is ready", flags, run };

/** The proxy was not ready in time. */
export class WaitError extends AgentError {
  readonly code = "AGENT_WAIT";
  override readonly exitCode = exitCode.failed;
}

/** What was waited for is no agent's address, and was not ready in time. */
export class WaitForeignError extends AgentError {
  readonly code = "AGENT_WAIT_FOREIGN";
  override readonly exitCode = exitCode.unsuccessful;
}

async function run({ args, env, print, stop }: CommandContext): Promise<number> {
  const { values, given } = parseCommandFlags("wait", args, flags);
  const { timeoutSeconds, periodMillis: periodMs, requestTimeoutMillis: timeoutMs } = values;
  const address = new AskedAddress(parseUrl(values.url), { periodMs, timeoutMs }, systemClock);
  const statusUrl = new URL(`http://localhost:${String(await readStatusPort(env))}/healthz/ready`);
  const agent = new AskedAddress(statusUrl, { periodMs, timeoutMs }, systemClock);
  const say = (msg: string): void => {
    const line = { level: "info", time: renderLogTime(systemClock.now()), msg };
    print(renderLine(line, values.log_as_json ? "json" : "text"));
  };
  say(`Waiting for Envoy proxy to be ready (timeout: ${String(timeoutSeconds)} seconds)...`);
  using limit = deadline(systemClock, timeoutSeconds * 1_000, stop);
  if (await answersInTime(address, agent, limit.signal)) {
    say("Envoy is ready!");
    return exitCode.ok;
  }
  if (!stop.aborted && agent.missing !== undefined) await agent.ask(AbortSignal.timeout(lastAskMs));
  const missing = agent.missing ?? address.missing;
  const why = `${renderMissing(missing, statusUrl)}. Last error: ${address.lastProblem}`;
  const end = stop.aborted ? "asked to end while" : "timeout";
  const message = `${end} waiting for Envoy proxy to become ready: ${why}`;
  throw missing === undefined && given.has("url") ? new WaitForeignError(message) : new WaitError(message);
}

/** For what is missing as it is when the time is over. */
const lastAskMs = 300;

/** The agent, on its own port, tells the moment of readiness; the address that was given has the last word. */
async function answersInTime(address: AskedAddress, agent: AskedAddress, limit: AbortSignal): Promise<boolean> {
  const ready = new AbortController();
  await using _agent = startTask(
    async (stop) => {
      await agent.untilReady(AbortSignal.any([stop, limit]));
      ready.abort();
    },
    () => undefined,
  );
  return await address.untilReady(limit, ready.signal).then(
    () => true,
    () => false,
  );
}

function renderMissing(missing: readonly MissingStep[] | undefined, statusUrl: URL): string {
  if (missing === undefined) return `missing agent (nobody tells at ${statusUrl.href} what is missing)`;
  if (missing.length === 0) return "the agent says that it is ready, but the address does not";
  return `missing ${missing.map(({ code, detail }) => (detail === "" ? code : `${code} (${detail})`)).join(", ")}`;
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new UsageError("wait", `--url: ${JSON.stringify(text)} is not a URL`);
  }
}
