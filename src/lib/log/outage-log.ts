// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../async/clock.ts";
import type { LogFields, LogLevel, Logger } from "./log.ts";

/** An outage that lasts is logged so often. */
const reminderMs = 60_000;

/** A peer that fails again so soon after it worked has not recovered: its lines are those of one outage. */
const settledMs = 60_000;

/** A failure that repeats. */
export interface Failure {
  readonly level: LogLevel;
  readonly message: string;
  /** Each kind is logged at once in an outage. Kinds and messages are constants. Default: the message. */
  readonly kind?: string;
  readonly fields?: LogFields;
}

/**
 * Logs an outage that is noticed with each try: a line when it begins and when its kind changes, one a minute with the
 * number of failures while it lasts, one when it ends. An outage with interruptions of less than a minute is one outage.
 */
export class OutageLog implements Disposable {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #recoveredMessage: string | undefined;
  /** The kinds of this outage that were logged. */
  readonly #said = new Set<string>();
  #sinceMs: number | undefined;
  #lastLineMs = 0;
  #failures = 0;
  #unsaidFailures = 0;
  #recoveredAtMs: number | undefined;
  #settling: AbortController | undefined;
  #worked = false;

  /** @param recoveredMessage at the end of each outage, and when it works for the first time; undefined: the owner logs */
  constructor(log: Logger, clock: Clock, recoveredMessage?: string) {
    this.#log = log;
    this.#clock = clock;
    this.#recoveredMessage = recoveredMessage;
  }

  failed({ level, message, kind = message, fields = {} }: Failure): void {
    const nowMs = this.#clock.monotonicMs();
    this.#stopSettling();
    const sinceMs = this.#begunAt(nowMs);
    this.#failures++;
    const isNew = !this.#said.has(kind);
    if (!isNew && nowMs - this.#lastLineMs < reminderMs) {
      this.#unsaidFailures++;
      return;
    }
    this.#said.add(kind);
    this.#lastLineMs = nowMs;
    const facts = isNew ? {} : { failures: this.#unsaidFailures + 1, lastedMs: Math.round(nowMs - sinceMs) };
    this.#unsaidFailures = 0;
    this.#log[level](message, { ...fields, ...facts });
  }

  /** It works. Soon after the last recovery, the line waits until it has worked for a minute. */
  works(fields: LogFields = {}): void {
    if (this.#sinceMs === undefined && this.#worked) return;
    const nowMs = this.#clock.monotonicMs();
    const leftMs = this.#recoveredAtMs === undefined ? 0 : this.#recoveredAtMs + settledMs - nowMs;
    if (leftMs <= 0 || this.#recoveredMessage === undefined) this.#end(fields);
    else if (this.#settling === undefined) this.#endLater(fields, settledMs);
  }

  [Symbol.dispose](): void {
    this.#stopSettling();
  }

  #begunAt(nowMs: number): number {
    if (this.#sinceMs !== undefined) return this.#sinceMs;
    if (this.#recoveredAtMs === undefined || nowMs - this.#recoveredAtMs >= settledMs) this.#said.clear();
    this.#sinceMs = nowMs;
    return nowMs;
  }

  #endLater(fields: LogFields, ms: number): void {
    const settling = new AbortController();
    this.#settling = settling;
    this.#clock.delay(ms, settling.signal).then(
      () => {
        this.#settling = undefined;
        this.#end(fields);
      },
      () => undefined,
    );
  }

  #end(fields: LogFields): void {
    const nowMs = this.#clock.monotonicMs();
    const outage =
      this.#sinceMs === undefined ? {} : { failures: this.#failures, lastedMs: Math.round(nowMs - this.#sinceMs) };
    if (this.#recoveredMessage !== undefined) this.#log.info(this.#recoveredMessage, { ...fields, ...outage });
    this.#worked = true;
    if (this.#sinceMs !== undefined) this.#recoveredAtMs = nowMs;
    this.#sinceMs = undefined;
    this.#failures = 0;
    this.#unsaidFailures = 0;
  }

  #stopSettling(): void {
    this.#settling?.abort();
    this.#settling = undefined;
  }
}
