// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";

interface TargetLogs {
  readonly failures: OutageLog;
  readonly invalidLines: OutageLog;
}

/** Each target has its own outages, so that one that fails does not hide another. */
export class TargetOutages {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #targets = new Map<string, TargetLogs>();

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  report(target: string, error: unknown): void {
    const reason = describeError(error);
    // the same failure may name other durations and sizes
    const kind = reason.replaceAll(/\d+/g, "");
    this.#of(target).failures.failed({
      level: "warn",
      message: "scrape target failed",
      kind,
      fields: { target, reason },
    });
  }

  /** All of a target was read. */
  read(target: string, invalidLines: number): void {
    const logs = this.#of(target);
    logs.failures.works({ target });
    if (invalidLines === 0) logs.invalidLines.works({ target });
    else {
      const message = "scrape target sends lines that are not metrics; they are left out";
      logs.invalidLines.failed({ level: "warn", message, fields: { target, lines: invalidLines } });
    }
  }

  #of(target: string): TargetLogs {
    const logs = this.#targets.get(target) ?? {
      failures: new OutageLog(this.#log, this.#clock, { recovered: "scrape target responds again" }),
      invalidLines: new OutageLog(this.#log, this.#clock, { recovered: "scrape target sends only metrics again" }),
    };
    this.#targets.set(target, logs);
    return logs;
  }
}
