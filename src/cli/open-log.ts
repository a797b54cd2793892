// SPDX-License-Identifier: Apache-2.0
import type { LogConfig } from "../config/agent-config.ts";
import { ConfigError } from "../config/config-error.ts";
import { describeError } from "../lib/errors.ts";
import { createLogWriter, type LogWriter } from "../lib/log/log-writer.ts";

/** @throws ConfigError when a target cannot be opened */
export function openLog(log: LogConfig): LogWriter {
  try {
    return createLogWriter(log);
  } catch (error) {
    const message = `cannot be opened: ${describeError(error)}; name a file in an existing directory, or stdout`;
    throw new ConfigError([{ source: "--log_target", message }]);
  }
}
