// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { readMachine } from "../../config/interception/machine.ts";
import { type ParsedInterception, parseInterception } from "../../config/interception/parse-interception.ts";
import { interceptionFlags } from "../../config/interception/settings.ts";
import {
  buildRuleSet,
  InterceptionError,
  renderDryRun,
  renderDryRunFile,
  renderInterceptionExplanation,
  type RuleSet,
} from "../../interception/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { parseFlags } from "../../lib/flags.ts";
import { createLogger } from "../../lib/log/log.ts";
import { type CommandContext, UsageError } from "../command.ts";
import { openLog } from "../open-log.ts";
import { runInterception } from "./run-interception.ts";

/**
 * Checks all options, then does what they ask for. Nothing of the kernel is read or changed before the checks.
 * @throws UsageError, ConfigError, InterceptionError
 */
export async function runIstioIptables(context: CommandContext): Promise<number> {
  const flags = parseFlags(context.args, interceptionFlags);
  const [unknown] = flags.unknown;
  if (unknown !== undefined) throw new UsageError("istio-iptables", unknown.message);
  const options = parseInterception(flags, context.env, readMachine());
  const { dryRun, explain } = options.run;
  // the rules are the output then, and the log is beside it
  const besideLog = (dryRun || explain) && !flags.given.has("log_target");
  const writer = openLog(besideLog ? { ...options.log, targets: ["stderr"] } : options.log);
  await using _writer = { [Symbol.asyncDispose]: () => writer.end() };
  const log = createLogger(
    writer.sink,
    () => systemClock.now(),
    () => options.log.levels,
  );
  for (const { source, message } of options.warnings) log.warn(`${source}: ${message}`);
  // as pilot-agent does: callers may pass some
  const { positionals } = flags;
  if (positionals.length > 0) log.warn("words that belong to no flag are ignored; quote *", { words: positionals });
  const set = buildRuleSet(options.capture);
  if (explain) context.print(renderInterceptionExplanation(set, options.capture));
  if (dryRun) showDryRun(options, set, context);
  if (explain || dryRun) return exitCode.ok;
  await runInterception(options, set, context, log);
  return exitCode.ok;
}

/** Neither reads nor changes the kernel, whatever the backend. */
function showDryRun({ run }: ParsedInterception, set: RuleSet, { print }: CommandContext): void {
  const dryRun = { backend: run.backend.kind, set, cleanupOnly: run.cleanupOnly };
  if (run.dryRunFile !== undefined) writeDryRunFile(run.dryRunFile, renderDryRunFile(dryRun));
  print(renderDryRun(dryRun));
}

/** In place, not by a rename: the path may be that of a device. */
function writeDryRunFile(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new InterceptionError(`write DRY_RUN_FILE_PATH ${path}`, { cause: error });
  }
}
