// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, objectsOf } from "../../lib/json.ts";
import type { Difference } from "./differences.ts";

/** The explanation as text: given settings first, then defaults. */
export function renderExplanation(explanation: JsonObject): string {
  const { problems, settings, warnings, validation, ...rest } = explanation;
  const list = objectsOf(settings);
  const given = list.filter((setting) => setting["source"] !== "default");
  const defaults = list.filter((setting) => setting["source"] === "default");
  const parts = [
    ...(problems === undefined ? [] : [`Problems:\n${findingLines(problems)}`]),
    `Given settings:\n${settingLines(given)}`,
    `Defaults:\n${settingLines(defaults)}`,
    ...Object.entries(rest).map(([name, value]) => `${name}:\n${indented(value)}`),
    `Warnings:\n${findingLines(warnings)}`,
  ];
  if (validation !== undefined) parts.push(`Validation:\n${indented(validation)}`);
  return parts.join("\n");
}

/** The differences as text, by path. */
export function renderDifferences(found: readonly Difference[]): string {
  if (found.length === 0) return "no differences\n";
  const side = (value: JsonValue | undefined): string => (value === undefined ? "(absent)" : JSON.stringify(value));
  return found.map(({ path, here, there }) => `${path}\n  here:  ${side(here)}\n  there: ${side(there)}\n`).join("");
}

function findingLines(findings: JsonValue | undefined): string {
  return objectsOf(findings)
    .map((item) => `  ${textOf(item["source"])}: ${textOf(item["message"])}\n`)
    .join("");
}

function settingLines(settings: readonly JsonObject[]): string {
  const rows = settings.map(
    (setting) =>
      [
        textOf(setting["name"]),
        JSON.stringify(setting["value"]),
        textOf(setting["source"]),
        setting["problem"] === undefined ? "" : `  <- ${textOf(setting["problem"])}`,
      ] as const,
  );
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return rows
    .map(([name, value, source, problem]) => `  ${name.padEnd(width)}  ${value}  (${source})${problem}\n`)
    .join("");
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

function indented(value: JsonValue): string {
  return `${JSON.stringify(value, undefined, 2).replaceAll(/^/gm, "  ")}\n`;
}
