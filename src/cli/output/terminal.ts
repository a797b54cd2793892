// SPDX-License-Identifier: Apache-2.0
import { isatty } from "node:tty";
import { noPaint, type Paint, terminalPaint } from "../../lib/paint.ts";

export interface Terminal {
  /** False where the output is a file, a pipe, or a terminal that cannot be redrawn. */
  readonly redraws: boolean;
  readonly columns: number;
  /** Undefined where there is no limit. */
  readonly rows: number | undefined;
  /** Without colours where `NO_COLOR` is set. Source: no-color.org, any value that is not empty */
  readonly paint: Paint;
}

const usualColumns = 80;

/** What standard output is connected to. */
export function readTerminal(env: Readonly<Record<string, string>>): Terminal {
  const redraws = isatty(1) && env["TERM"] !== "dumb";
  const paint = redraws && (env["NO_COLOR"] ?? "") === "" ? terminalPaint : noPaint;
  return { redraws, ...(redraws ? sizeOf() : { columns: usualColumns, rows: undefined }), paint };
}

function sizeOf(): Pick<Terminal, "columns" | "rows"> {
  const stream: { readonly columns?: number; readonly rows?: number } = process.stdout;
  return { columns: stream.columns ?? usualColumns, rows: stream.rows };
}
