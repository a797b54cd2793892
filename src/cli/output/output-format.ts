// SPDX-License-Identifier: Apache-2.0
import type { FlagSpecs } from "../../lib/flags.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { UsageError } from "../command.ts";

const formats = ["text", "json", "yaml"] as const;

export type OutputFormat = (typeof formats)[number];

/** Flags of every command that can print a document for programs. */
export const outputFlags = {
  output: {
    type: "string",
    default: "text",
    short: "o",
    meaning: "output format: text, json or yaml",
    values: formats,
  },
  json: { type: "bool", default: "false", meaning: "the same as --output json" },
} as const satisfies FlagSpecs;

/** @throws UsageError for an unknown format */
export function readOutputFormat(
  command: string,
  { output, json }: { readonly output: string; readonly json: boolean },
): OutputFormat {
  const format = formats.find((name) => name === (json && output === "text" ? "json" : output));
  if (format === undefined || (json && format !== "json")) {
    const problem = json ? `--json contradicts --output ${output}` : unknownFormat(output);
    throw new UsageError(command, problem);
  }
  return format;
}

function unknownFormat(output: string): string {
  const hint = suggestion(output, formats);
  return `--output: ${JSON.stringify(output)} is not one of ${formats.join(", ")}${hint}`;
}

/**
 * The document in the format that was asked for. Text of a peer in it cannot control the terminal.
 * @param value what `JSON.stringify` takes
 * @param text renders it for a person; called for `text` only
 */
export async function renderOutput(format: OutputFormat, value: unknown, text: () => string): Promise<string> {
  if (format === "text") return text();
  const json = printable(JSON.stringify(value, undefined, 2));
  if (format === "json") return `${json}\n`;
  const { stringify } = await import("yaml");
  const yaml = stringify(JSON.parse(json), { lineWidth: 0 });
  // YAML has no escapes outside of quotes; JSON is YAML too
  return printable(yaml) === yaml ? yaml : `${json}\n`;
}

/** Lines with their control characters escaped. */
function printable(text: string): string {
  return text.split("\n").map(escapeControls).join("\n");
}
