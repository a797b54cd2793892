// SPDX-License-Identifier: Apache-2.0
export type LogFormat = "text" | "json";

/** A line's parts after serialisation, in the order in which JSON shows them. */
export type LogLine = { level: string; time: string; scope?: string; msg: string } & Record<string, unknown>;

/**
 * One line in the text form: time, level, scope where it is not the default one, message and `key=value` pairs,
 * separated by tabs. Line breaks inside are escaped, so that a line stays a line.
 * Source: the text form of Istio's agent log
 */
export function renderTextLine(line: LogLine): string {
  const { level, time, scope, msg, ...fields } = line;
  const head = scope === undefined ? [time, level, msg] : [time, level, scope, msg];
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${renderValue(value)}`);
  const text = pairs.length === 0 ? head.join("\t") : `${head.join("\t")}\t${pairs.join(" ")}`;
  return `${text.replaceAll("\r", "\\r").replaceAll("\n", "\\n")}\n`;
}

function renderValue(value: unknown): string {
  if (typeof value === "string") return /[\s"=]/.test(value) ? JSON.stringify(value) : value;
  return JSON.stringify(value);
}

/** A level in Envoy's word for it: agent and Envoy write to one stream. Source: Envoy's `--log-level` */
export function renderLogLevel(level: string): string {
  return level === "warn" ? "warning" : level;
}

/** Wall clock as the log shows it: UTC with six digits of a second. */
export function renderLogTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace("Z", "000Z");
}
