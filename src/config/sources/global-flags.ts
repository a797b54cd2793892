// SPDX-License-Identifier: Apache-2.0
import type { FlagSpec, FlagSpecs } from "../../lib/flags.ts";

export function flag<T extends FlagSpec["type"]>(
  type: T,
  fallback: string,
  meaning: string,
): FlagSpec & { readonly type: T } {
  return { type, default: fallback, meaning };
}

/** Flags that every command takes. Source: pilot-agent's log options. */
export const globalFlags = {
  log_output_level: flag("string", "", "comma list of SCOPE:LEVEL or LEVEL: debug, info, warn, error, fatal, none"),
  log_stacktrace_level: flag("string", "default:none", "same form; checked, without effect"),
  log_caller: flag("string", "", "accepted, without effect"),
  log_as_json: flag("bool", "false", "log lines as JSON, Envoy's too"),
  log_target: flag("strings", "stdout", "file to log to, or stdout, stderr; may be repeated"),
  vklog: flag("int", "0", "accepted, without effect"),
} as const satisfies FlagSpecs;
