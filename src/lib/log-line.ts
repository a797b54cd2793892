// SPDX-License-Identifier: Apache-2.0
import { writeSync } from "node:fs";
import { systemCode } from "./errors.ts";

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

/** Wall clock as the log shows it: UTC with six digits of a second. */
export function renderLogTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace("Z", "000Z");
}

/**
 * Writes all of the text to a descriptor before it returns. The descriptor is shared with Envoy, so it must not go
 * through a stream, which would make it non-blocking for both. Where it is non-blocking already, a full pipe is
 * waited for, up to a second; after that the text is lost rather than the probes.
 */
export function writeAllSync(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  let written = 0;
  for (let waits = 0; written < bytes.length && waits < 200; ) {
    try {
      written += writeSync(descriptor, bytes, written);
    } catch (error) {
      if (systemCode(error) !== "EAGAIN") return;
      waits++;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}
