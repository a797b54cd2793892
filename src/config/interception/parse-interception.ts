// SPDX-License-Identifier: Apache-2.0
import type { Backend, InterceptionOptions, RunOptions } from "../../interception/options.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import type { ConfigWarning, LogConfig } from "../agent-config.ts";
import { Findings } from "../config-error.ts";
import { logConfig } from "../sections/log-section.ts";
import { parseCapture } from "./capture.ts";
import { type InterceptionFlags, InterceptionInput } from "./input.ts";
import type { Machine } from "./machine.ts";
import { parseNetwork, type Purpose } from "./network.ts";
import { parsePort } from "./values.ts";

export interface ParsedInterception extends InterceptionOptions {
  readonly log: LogConfig;
  readonly warnings: readonly ConfigWarning[];
}

/**
 * The options of `istio-iptables`, complete and checked.
 * @throws ConfigError with every problem of flags, variables and the machine, before anything is changed
 */
export function parseInterception(
  flags: InterceptionFlags,
  env: Readonly<Record<string, string>>,
  machine: Machine,
): ParsedInterception {
  const findings = new Findings();
  const input = new InterceptionInput(flags, env, findings);
  const run = runOptions(input);
  const capture = { ...parseCapture(input, machine), ...parseNetwork(input, machine, purposeOf(run)) };
  const log = logConfig(flags.values, findings);
  findings.assertValid();
  return { capture, run, log, warnings: findings.warnings };
}

function purposeOf({ dryRun, explain, cleanupOnly }: RunOptions): Purpose {
  if (dryRun || explain) return "show";
  return cleanupOnly ? "clean" : "apply";
}

function runOptions(input: InterceptionInput): RunOptions {
  const bool = (name: Parameters<typeof input.bool>[0]): boolean => input.bool(name) ?? false;
  const fallback = 5_000;
  const duration = (text: string): number | string => {
    const timeoutMs = parseGoDuration(text) ?? 0;
    return timeoutMs > 0 ? timeoutMs : "is not a duration above 0, such as 5s";
  };
  return {
    backend: backend(input),
    dryRun: bool("dry-run"),
    dryRunFile: input.variable("DRY_RUN_FILE_PATH").text || undefined,
    explain: bool("explain"),
    skipRuleApply: bool("skip-rule-apply"),
    runValidation: bool("run-validation"),
    reconcile: bool("reconcile"),
    cleanupOnly: bool("cleanup-only"),
    forceApply: bool("force-apply"),
    cniMode: bool("cni-mode"),
    dualStack: input.bool("dual-stack"),
    networkNamespace: input.setting("network-namespace").text || undefined,
    probePort: input.value(input.setting("iptables-probe-port"), parsePort, 0),
    probeTimeoutMs: input.value(input.setting("probe-timeout"), duration, fallback),
  };
}

function backend(input: InterceptionInput): Backend {
  const { text, source } = input.setting("force-iptables-binary");
  const binary = text === "legacy" || text === "nft" ? text : undefined;
  if (text !== "" && binary === undefined)
    input.findings.problem(source, `${JSON.stringify(text)} is not legacy or nft`);
  if (input.bool("native-nftables") !== true) return { kind: "iptables", binary };
  if (binary !== undefined) input.findings.warn(source, "has no effect with --native-nftables");
  return { kind: "nftables" };
}
