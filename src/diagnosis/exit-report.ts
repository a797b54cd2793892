// SPDX-License-Identifier: Apache-2.0
import { stat } from "node:fs/promises";
import { recorderConfig } from "../config/sections/log-section.ts";
import { readTextStart } from "../lib/fs/bounded-read.ts";
import { escapeControls } from "../lib/printable-text.ts";
import { formatMoment } from "../lib/relative-time.ts";

/** Kubernetes shows no more of the file. */
const maxBytes = 4_096;

/**
 * How the agent in this container last exited, as its termination message says. An agent that runs has replaced the
 * message, and one that exited in order has removed it.
 * @returns undefined where there is no such message
 */
export async function readExitReport(
  env: Readonly<Record<string, string>>,
  nowMs: number,
): Promise<string | undefined> {
  const { terminationMessagePath: path = "" } = recorderConfig(env);
  if (path === "") return undefined;
  try {
    const text = await readTextStart(path, maxBytes);
    const [, code, reason = ""] = /^attache exited with code (\d+): (.*)/.exec(text) ?? [];
    if (code === undefined) return undefined;
    const moment = formatMoment((await stat(path)).mtimeMs, nowMs);
    const when = moment === "now" ? "just now" : moment;
    return `the agent exited with code ${code} ${when}: ${escapeControls(reason)}`;
  } catch {
    return undefined;
  }
}
