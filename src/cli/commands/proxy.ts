// SPDX-License-Identifier: Apache-2.0
import { reportInvalidConfig, runAgent } from "../../agent/agent.ts";
import { NeverReadyError } from "../../agent/lifecycle.ts";
import type { AgentConfig } from "../../config/agent-config.ts";
import { parseConfig, proxyFlags, readConfigInput, recorderConfig, redactSecrets } from "../../config/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { LogLevelSwitch, createLogger } from "../../lib/log/log.ts";
import type { LogBudgets } from "../../lib/log/log-limits.ts";
import type { Command, CommandContext } from "../command.ts";
import { withInstalledEnvoy } from "../installed-envoy.ts";
import { openLog } from "../open-log.ts";

export const command: Command = {
  summary: "run Envoy and its agent",
  usage: "[sidecar|router|waypoint]",
  words: ["sidecar", "router", "waypoint"],
  get flags() {
    return proxyFlags;
  },
  examples: [
    { line: "attache proxy sidecar", meaning: "the main process of a sidecar container" },
    { line: "attache proxy router --log_as_json", meaning: "of a gateway, with a log for programs" },
  ],
  exitCodes: [
    [0, "shut down in order after it was ready"],
    ["1 to 63", "Envoy's own exit code; 128 + n where signal n killed it"],
    [69, "a resource is missing or in use: Envoy's binary, a port, a socket"],
    [70, "an internal fault"],
    [75, "shut down in order before it was ever ready"],
    [77, "the CA rejects this workload"],
  ],
  run: runProxy,
};

/** @throws ConfigError when the configuration is invalid. Later failures are logged, and are the exit code. */
async function runProxy({ args, env, ...signals }: CommandContext): Promise<number> {
  const { stop } = signals;
  const readStart = async () => {
    const config = await withInstalledEnvoy(parseConfig(await readConfigInput({ env, args, stop })), env);
    return { config, writer: openLog(config.log) };
  };
  const start = await readStart().catch(async (error: unknown) => {
    // stopped while it waited for another process's socket: nothing has been started
    const cause = stop.aborted ? new NeverReadyError(describeError(stop.reason)) : error;
    await reportInvalidConfig(cause, recorderConfig(env), systemClock);
    throw cause;
  });
  const { config, writer } = start;
  // It is known now which process serves the workload's socket. A later look would find this agent's own.
  const known = {
    ATTACHE_SDS_SOURCE: config.identity.kind === "external-sds" ? "foreign" : "own",
    ATTACHE_FOREIGN_SDS_WAIT: "0s",
  };
  const readConfig = async (): Promise<AgentConfig> =>
    await withInstalledEnvoy(parseConfig(await readConfigInput({ env: { ...env, ...known }, args })), env);
  const logLevels = new LogLevelSwitch(config.log.levels);
  const log = createLogger(
    writer.sink,
    () => systemClock.now(),
    () => logLevels.read(),
  );
  for (const { source, message } of config.warnings) log.warn(`${source}: ${message}`);
  const deps = {
    log,
    clock: systemClock,
    random: Math.random,
    readConfig,
    logLevels,
    redact: redactSecrets,
    limitLog: (budgets: LogBudgets) => {
      writer.useBudgets(budgets);
    },
    reopenLog: () => writer.reopen(),
  };
  const { code } = await runAgent(config, deps, signals);
  await writer.end();
  return code;
}
