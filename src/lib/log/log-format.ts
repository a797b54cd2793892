// SPDX-License-Identifier: Apache-2.0
import { escapeControls } from "../printable-text.ts";
import { defaultLineLimit, type LineLimit } from "./log-limits.ts";
import type { LogRecord } from "./log.ts";

export type LogFormat = "text" | "json";

/** A line's parts, in the order in which JSON shows them. */
export type LogLine = {
  readonly level: string;
  readonly time: string;
  readonly scope?: string;
  readonly msg: string;
} & Readonly<Record<string, unknown>>;

/** Field names whose values never reach the log, at any depth. */
const secretFields: ReadonlySet<string> = new Set([
  "authorization",
  "key",
  "keyPem",
  "password",
  "privateKey",
  "secret",
  "token",
]);
const redacted = "[redacted]";
/** Text of a peer may be of any length. */
const longestString = 4_096;

/** A record as one line in the given form, without secrets. Never throws. */
export function renderRecord(
  { level, timeMs, scope, message, fields }: LogRecord,
  format: LogFormat,
  limit: LineLimit,
): string {
  const head = {
    level: renderLogLevel(level),
    time: renderLogTime(timeMs),
    ...(scope === "" ? {} : { scope }),
    msg: message,
  };
  return renderLine({ ...head, ...fields, ...head }, format, limit);
}

/**
 * One line in the given form. The text form is time, level, scope where it is not the default one, message and
 * `key=value` pairs, separated by tabs. Control characters are escaped in both forms. Long strings are cut, and in a
 * line that is longer than the limit, so are all values.
 * Source: the text form of Istio's agent log
 */
export function renderLine(line: LogLine, format: LogFormat, limit = defaultLineLimit): string {
  const whole = renderWhole(line, format);
  if (limit.admits(Buffer.byteLength(whole))) return whole;
  for (let most = limit.size; ; most = Math.floor(most / 2)) {
    const cut = renderWhole(cutValues(line, most), format);
    if (most === 0 || Buffer.byteLength(cut) <= limit.size) return cut;
  }
}

/** @param most characters that remain of the message and of the JSON of each field */
function cutValues({ level, time, scope, msg, ...fields }: LogLine, most: number): LogLine {
  const cut = Object.entries(fields).map(([name, value]): [string, unknown] => {
    const json = secretFields.has(name) ? undefined : toJson(value);
    if (json === undefined || json.length <= most) return [name, value];
    const text = typeof value === "string" ? value : json;
    return [name, `${text.slice(0, most)}... (${String(text.length)} characters)`];
  });
  const shortScope = scope === undefined ? {} : { scope };
  return { level, time, ...shortScope, msg: msg.slice(0, most), ...Object.fromEntries(cut) };
}

function renderWhole(line: LogLine, format: LogFormat): string {
  if (format === "json")
    return `${escapeControls(`{${renderFields(line, (name, json) => `${JSON.stringify(name)}:${json}`).join(",")}}`)}\n`;
  const { level, time, scope, msg, ...fields } = line;
  const head = scope === undefined ? [time, level, msg] : [time, level, scope, msg];
  const pairs = renderFields(fields, (name, json) => `${name}=${plainText(json)}`);
  const parts = pairs.length === 0 ? head : [...head, pairs.join(" ")];
  return `${parts.map(escapeControls).join("\t")}\n`;
}

/** A level in Envoy's word for it: agent and Envoy write to one stream. Source: Envoy's `--log-level` */
export function renderLogLevel(level: string): string {
  return level === "warn" ? "warning" : level;
}

/** Wall clock as the log shows it: UTC with six digits of a second. */
export function renderLogTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace("Z", "000Z");
}

/** Each field that JSON does not leave out. A value that cannot be serialised costs only its own field. */
function renderFields(
  fields: Readonly<Record<string, unknown>>,
  render: (name: string, json: string) => string,
): readonly string[] {
  return Object.entries(fields).flatMap(([name, value]) => {
    const json = toJson(secretFields.has(name) ? redacted : value);
    return json === undefined ? [] : [render(name, json)];
  });
}

function toJson(value: unknown): string | undefined {
  try {
    // Its type does not show that functions and undefined have no JSON.
    const json: string | undefined = JSON.stringify(value, (name, inner: unknown) => {
      if (secretFields.has(name)) return redacted;
      if (typeof inner === "string" && inner.length > longestString) {
        return `${inner.slice(0, longestString)}... (${String(inner.length)} characters)`;
      }
      return typeof inner === "bigint" ? String(inner) : inner;
    });
    return json;
  } catch {
    return '"[cannot be serialised]"';
  }
}

/** A JSON string, without quotes if it needs none; any other JSON unchanged. */
function plainText(json: string): string {
  return /^"([^\s"=\\]*)"$/.exec(json)?.[1] ?? json;
}
