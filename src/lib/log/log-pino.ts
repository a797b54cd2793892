// SPDX-License-Identifier: Apache-2.0
import { pino } from "pino";
import { type LogFormat, type LogLine, renderLogLevel, renderLogTime, renderTextLine } from "./log-line.ts";
import type { LogSink } from "./log.ts";

/** Field names whose values never reach the log, at the top and one level down. */
const secretFields = ["authorization", "key", "keyPem", "password", "privateKey", "secret", "token"] as const;

/** A sink that serialises through pino: secrets cut by path, one line a record. */
export function createPinoSink(format: LogFormat, write: (line: string) => void): LogSink {
  const destination = {
    write: (line: string): void => {
      write(format === "json" ? line : renderTextLine(parseLine(line)));
    },
  };
  const logger = pino(
    {
      level: "debug",
      base: null,
      timestamp: false,
      formatters: { level: (level) => ({ level: renderLogLevel(level) }) },
      redact: { paths: secretFields.flatMap((name) => [name, `*.${name}`]), censor: "[redacted]" },
    },
    destination,
  );
  return ({ timeMs, level, scope, message, fields }) => {
    const head = { time: renderLogTime(timeMs), ...(scope === "" ? {} : { scope }), msg: message };
    logger[level]({ ...head, ...fields, msg: message });
  };
}

function parseLine(line: string): LogLine {
  return JSON.parse(line) as LogLine;
}
