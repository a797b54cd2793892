// SPDX-License-Identifier: Apache-2.0
import type { Paint } from "../../lib/paint.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { formatMoment } from "../../lib/relative-time.ts";
import { renderTable } from "../../lib/text-table.ts";
import type { LogLevel, LogLevels } from "./log-levels.ts";

interface Row {
  readonly name: string;
  readonly level: string;
  readonly reset: string;
}

/** Every scope of the agent and every logger of Envoy, changed ones first. */
export function renderLevels(levels: LogLevels, nowMs: number, paint: Paint): string {
  const rows = rowsOf(levels, nowMs);
  const changed = rows.filter(({ reset }) => reset !== "");
  const others = rows.filter(({ reset }) => reset === "");
  return table([...changed, ...others]) + renderProblem(levels, paint);
}

/** What is changed now. */
export function renderChanged(levels: LogLevels, nowMs: number, paint: Paint): string {
  const rows = rowsOf(levels, nowMs).filter(({ reset }) => reset !== "");
  const text = rows.length === 0 ? "Every level is the configured one.\n" : table(rows);
  return text + renderProblem(levels, paint);
}

function table(rows: readonly Row[]): string {
  return renderTable(
    ["scope", "level", "reset"],
    rows.map(({ name, level, reset }) => [name, level, reset]),
  );
}

function renderProblem({ envoyProblem }: LogLevels, paint: Paint): string {
  if (envoyProblem === "") return "";
  return `\n${paint("warning", "[warn]")} Envoy's loggers are not listed: ${escapeControls(envoyProblem)}\n`;
}

function rowsOf({ scopes, envoy = [] }: LogLevels, nowMs: number): readonly Row[] {
  const row = (one: LogLevel, prefix: string): Row => ({
    name: `${prefix}${one.name}`,
    level: one.level,
    reset: one.changed ? resetText(one, nowMs) : "",
  });
  return [...scopes.map((one) => row(one, "")), ...envoy.map((one) => row(one, "envoy:"))];
}

function resetText({ resetAt }: LogLevel, nowMs: number): string {
  return resetAt === undefined ? "at a restart" : formatMoment(Date.parse(resetAt), nowMs);
}
