// SPDX-License-Identifier: Apache-2.0
import type { FlagValues } from "../../lib/flags.ts";
import type { LogLevels, LogThreshold } from "../../lib/log/log.ts";
import type { LogConfig } from "../agent-config.ts";
import { Findings } from "../config-error.ts";
import { istioScopeNames } from "../../model/log-scopes.ts";
import type { globalFlags } from "../sources/flags.ts";
import type { CrashReportConfig } from "../../recorder/crash-report.ts";
import { Environment } from "../sources/environment.ts";

const levels: ReadonlyMap<string, LogThreshold> = new Map([
  ["debug", "debug"],
  ["info", "info"],
  ["warn", "warn"],
  ["warning", "warn"],
  ["error", "error"],
  ["fatal", "none"],
  ["none", "none"],
]);

/** How the agent logs. Source: the log flags of Istio's commands */
export function logConfig(flags: FlagValues<typeof globalFlags>, findings: Findings): LogConfig {
  parseLevels("default:none", flags.log_stacktrace_level, "--log_stacktrace_level", findings);
  return {
    format: flags.log_as_json ? "json" : "text",
    levels: parseLevels("default:info,grpc:none", flags.log_output_level, "--log_output_level", findings),
    targets: flags.log_target,
  };
}

/** `all:LEVEL` sets every scope; a level alone sets the default scope. */
function parseLevels(base: string, text: string, flag: string, findings: Findings): LogLevels {
  const result = new Map<string, LogThreshold>();
  for (const item of [...base.split(","), ...text.split(",")]) {
    if (item === "") continue;
    const parts = item.split(":");
    const [scope, name] = parts.length === 1 ? ["default", item] : [parts[0] ?? "", parts[1] ?? ""];
    const level = levels.get(name.toLowerCase());
    if (parts.length > 2) findings.problem(flag, `invalid output level format '${item}'; it is SCOPE:LEVEL`);
    else if (level === undefined) {
      findings.problem(flag, `invalid output level '${name}'; it is one of ${[...levels.keys()].join(", ")}`);
    } else if (scope === "all") {
      result.clear();
      result.set("default", level);
    } else result.set(istioScopeNames.get(scope) ?? scope, level);
  }
  return result;
}

/** Where the crash report goes. Parsed alone, because an invalid configuration is reported too. */
export function recorderConfig(variables: Readonly<Record<string, string>>): CrashReportConfig {
  const env = new Environment(variables, new Findings());
  return {
    terminationMessagePath: env.string("ATTACHE_TERMINATION_MESSAGE_PATH"),
    directory: env.string("ATTACHE_FLIGHT_RECORDER_DIR") || undefined,
  };
}
