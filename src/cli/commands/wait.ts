// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/global-flags.ts";
import { deadline, systemClock } from "../../lib/clock.ts";
import { AgentError, describeError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { renderLogTime, renderTextLine } from "../../lib/log-line.ts";
import type { Command, CommandContext } from "../command.ts";
import { parseCommandFlags } from "../command-flags.ts";
import { requestHttp } from "../http-client.ts";
import { UsageError } from "../usage-error.ts";

const flags = {
  ...globalFlags,
  url: {
    type: "string",
    default: "http://localhost:15021/healthz/ready",
    meaning: "address that answers 200 when ready",
  },
  timeoutSeconds: { type: "int", default: "60", meaning: "seconds to wait in all" },
  periodMillis: { type: "int", default: "500", meaning: "milliseconds between two tries" },
  requestTimeoutMillis: { type: "int", default: "500", meaning: "milliseconds that one try may take" },
} as const satisfies FlagSpecs;

export const command: Command = { summary: "wait until the proxy is ready", flags, run };

/** The proxy was not ready in time. */
export class WaitError extends AgentError {
  readonly code = "AGENT_WAIT";
}

/** The first try is made at once: what is ready already costs no period. */
async function run({ args, print, stop }: CommandContext): Promise<number> {
  const { values } = parseCommandFlags("wait", args, flags);
  const url = parseUrl(values.url);
  const seconds = String(values.timeoutSeconds);
  const say = (msg: string): void => {
    print(renderTextLine({ level: "info", time: renderLogTime(systemClock.now()), msg }));
  };
  say(`Waiting for Envoy proxy to be ready (timeout: ${seconds} seconds)...`);
  using limit = deadline(systemClock, values.timeoutSeconds * 1_000, stop);
  let lastError = "no try was made";
  while (!limit.signal.aborted) {
    const problem = await tryOnce(url, values.requestTimeoutMillis, limit.signal);
    if (problem === undefined) {
      say("Envoy is ready!");
      return exitCode.ok;
    }
    lastError = problem;
    await systemClock.delay(values.periodMillis, limit.signal).catch(() => undefined);
  }
  throw new WaitError(`timeout waiting for Envoy proxy to become ready. Last error: ${lastError}`);
}

/** @returns what is wrong, or undefined when the answer is 200 and complete */
async function tryOnce(url: URL, timeoutMs: number, signal: AbortSignal): Promise<string | undefined> {
  using limit = deadline(systemClock, timeoutMs, signal);
  try {
    const { status } = await requestHttp({ method: "GET", url, body: "" }, limit.signal);
    return status === 200 ? undefined : `HTTP status code ${String(status)}`;
  } catch (error) {
    return limit.signal.aborted ? `no answer within ${String(timeoutMs)} ms` : describeError(error);
  }
}

function parseUrl(text: string): URL {
  try {
    return new URL(text);
  } catch {
    throw new UsageError("wait", `--url: ${JSON.stringify(text)} is not a URL`);
  }
}
