// SPDX-License-Identifier: Apache-2.0
import { rmSync } from "node:fs";
import type { AgentConfig } from "../config/agent-config.ts";
import type { Clock } from "../lib/async/clock.ts";
import { AgentError, describeError, exitCodeOf } from "../lib/errors.ts";
import { Readiness } from "../model/readiness.ts";
import { createFlightRecorder } from "../recorder/index.ts";
import { type StartState, startAndServe } from "./compose.ts";
import { StartPhases } from "./lifecycle.ts";
import type { AgentDeps, AgentExit, AgentSignals } from "./types.ts";

/**
 * Runs the agent until Envoy has exited. The cause of the exit is logged once; a failure is also in the crash report.
 */
export async function runAgent(config: AgentConfig, deps: AgentDeps, signals: AgentSignals): Promise<AgentExit> {
  const recorder = createFlightRecorder(config.recorder, () => deps.clock.now());
  const log = recorder.logger(deps.log);
  const start: StartState = {
    phases: new StartPhases(log, deps.clock),
    holds: new Readiness(() => deps.clock.now()),
    pendingAtExit: undefined,
    envoyCheck: undefined,
    prepareForAbort: (directory) => recorder.prepareForAbort(directory),
    problems: () => recorder.problems(),
    events: () => recorder.events(),
    limitRecorder: (budgets) => {
      recorder.useBudgets(budgets);
    },
  };
  signals.onFault((fault) => {
    log.error("uncaught fault", { error: describeError(fault), stack: fault.stack });
  });
  signals.force.addEventListener("abort", () => {
    log.info("second signal: forcing exit");
  });
  const exit = await exitOf(startAndServe(config, start, { ...deps, log }, signals), signals);
  if (exit.code === 0) removeBootstrap(config);
  else log.error(exit.reason, { exitCode: exit.code, errorCode: exit.errorCode });
  const details = exit.code === 0 ? undefined : await whyNeverReady(exit, start);
  for (const failure of await recorder.writeCrashReport({ ...exit, details })) {
    log.warn("cannot write crash report", { failure });
  }
  return exit;
}

/** Writes the crash report of an agent whose configuration is invalid. The caller prints the error itself. */
export async function reportInvalidConfig(
  error: unknown,
  recorder: AgentConfig["recorder"],
  clock: Clock,
): Promise<void> {
  const { renderTermination } = await import("../status/index.ts");
  const details = renderTermination({ cause: error, pending: [], phases: [] });
  await createFlightRecorder(recorder, () => clock.now()).writeCrashReport({ ...failedExit(error), details });
}

type FailedExit = AgentExit & { readonly errorCode?: string; readonly error?: unknown };

/** The agent exits with an uncaught fault, unless Envoy or a module failed before it. */
async function exitOf(run: Promise<AgentExit>, { stop, fault }: AgentSignals): Promise<FailedExit> {
  try {
    const exit = await run;
    const uncaught = fault();
    const wasFirst = exit.code === 0 || stop.reason === uncaught;
    return uncaught !== undefined && wasFirst ? failedExit(uncaught) : exit;
  } catch (error) {
    return failedExit(error);
  }
}

function failedExit(error: unknown): FailedExit {
  const errorCode = error instanceof AgentError ? error.code : "AGENT_FAULT";
  return { code: exitCodeOf(error), reason: describeError(error), errorCode, error };
}

/** The readiness tree of an agent that was never ready. */
async function whyNeverReady(exit: FailedExit, start: StartState): Promise<string | undefined> {
  const { phases, holds, pendingAtExit, envoyCheck } = start;
  if (phases.hasEnded("ready")) return undefined;
  const { renderTermination } = await import("../status/index.ts");
  return renderTermination({
    cause: exit.error ?? exit.reason,
    pending: pendingAtExit ?? holds.pending(),
    envoy: envoyCheck,
    phases: phases.ended,
  });
}

/** After a failure the bootstrap is kept, for inspection. */
function removeBootstrap({ bootstrap }: AgentConfig): void {
  if (bootstrap.kind !== "file") rmSync(bootstrap.path, { force: true });
}
