// SPDX-License-Identifier: Apache-2.0
import { type SupervisedEnvoy, loadRunningEnvoy } from "../envoy/index.ts";
import { describeError } from "../lib/errors.ts";
import type { AgentDeps, AgentSignals } from "./types.ts";

export interface LogReopeningOptions {
  /** Undefined with `DISABLE_ENVOY`. */
  readonly envoy: Pick<SupervisedEnvoy, "pids"> | undefined;
  readonly onReopenLogs: AgentSignals["onReopenLogs"];
}

type LogReopeningDeps = Pick<AgentDeps, "log" | "clock" | "reopenLog">;

/** On SIGUSR1, agent and Envoy open their log files again by their paths: logrotate has renamed them. */
export async function startLogReopening(options: LogReopeningOptions, deps: LogReopeningDeps): Promise<Disposable> {
  const stop = new AbortController();
  options.onReopenLogs(() => {
    reopenLogs(options, deps, stop.signal).catch((error: unknown) => {
      if (!stop.signal.aborted) deps.log.error("log files not reopened", { error: describeError(error) });
    });
  });
  const { unblockUserSignal } = await import("../host/index.ts");
  if (!(await unblockUserSignal())) deps.log.debug("SIGUSR1 has no effect with this Node.js");
  return {
    [Symbol.dispose]() {
      stop.abort(new Error("the agent is shutting down"));
    },
  };
}

async function reopenLogs(
  { envoy }: LogReopeningOptions,
  { log, clock, reopenLog }: LogReopeningDeps,
  signal: AbortSignal,
): Promise<void> {
  const failures = reopenLog();
  log.info("SIGUSR1: reopening log files");
  for (const { file, error } of failures) {
    log.warn("log file not reopened; the agent writes to the previous file", { file, error });
  }
  if (envoy === undefined) return;
  const { reopenEnvoyLogs } = await loadRunningEnvoy();
  const pids = await reopenEnvoyLogs(envoy.pids, clock, signal);
  if (pids.length > 0) log.warn("Envoy has not reopened its log files: it is still starting", { pids });
}
