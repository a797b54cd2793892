// SPDX-License-Identifier: Apache-2.0
import { appendFileSync } from "node:fs";
import type { LogConfig } from "../../config/agent-config.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { defaultLineLimit } from "../../lib/log/log-limits.ts";
import { createLogger, type Logger } from "../../lib/log/log.ts";
import { renderRecord } from "../../lib/log/log-format.ts";
import type { CommandContext } from "../command.ts";

/** The log of a command that runs and ends: each line is written before the next step, and no library is loaded. */
export function createCommandLog(
  { format, levels, targets }: LogConfig,
  { print, printError }: Pick<CommandContext, "print" | "printError">,
): Logger {
  const outputs = targets.map((target) => {
    if (target === "stdout") return print;
    if (target === "stderr") return printError;
    return (line: string): void => {
      appendFileSync(target, line, { mode: 0o600 });
    };
  });
  return createLogger(
    (record) => {
      for (const write of outputs) write(renderRecord(record, format, defaultLineLimit));
    },
    () => systemClock.now(),
    () => levels,
  );
}
