// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../async/clock.ts";
import type { LogFields, LogLevel, Logger } from "./log.ts";

/** An outage that lasts is logged so often. */
const reminderMs = 60_000;

/** A peer that fails again so soon after it worked has not recovered: its lines are those of one outage. */
const settledMs = 60_000;

/** So many kinds of failures have a line of their own in an outage: a peer chooses the text of some. */
const maxKinds = 10;

/** Of a kind, so much is remembered. */
const maxKindLength = 200;

/** A failure that repeats. */
export interface Failure {
  readonly level: LogLevel;
  readonly message: string;
  /** The first ten kinds are logged at once in an outage. Default: the message. */
  readonly kind?: string;
  readonly fields?: LogFields;
}

export interface OutageMessages {
  /** At the end of each outage. Default: none, the owner logs it. */
  readonly recovered?: string;
  /** When it works for the first time. Default: none. */
  readonly first?: string;
}

/**
 * Logs an outage that is noticed with each try: a line when it begins and when its kind changes, one a minute with the
 * number of failures while it lasts, one when it ends. An outage with interruptions of less than a minute is one outage.
 */
export class OutageLog implements Disposable {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #messages: OutageMessages;
  /** The kinds of this outage that were logged. */
  readonly #said = new Set<string>();
  #sinceMs: number | undefined;
  #lastLineMs = 0;
  #failures = 0;
  #unsaidFailures = 0;
  #recoveredAtMs: number | undefined;
  #settling: AbortController | undefined;
  #worked = false;

  constructor(log: Logger, clock: Clock, messages: OutageMessages = {}) {
    this.#log = log;
    this.#clock = clock;
    this.#messages = messages;
  }

  failed({ level, message, kind = message, fields = {} }: Failure): void {
    const nowMs = this.#clock.monotonicMs();
    this.#stopSettling();
    const sinceMs = this.#begunAt(nowMs);
    this.#failures++;
    const keptKind = kind.slice(0, maxKindLength);
    const isNew = !this.#said.has(keptKind) && this.#said.size < maxKinds;
    if (!isNew && nowMs - this.#lastLineMs < reminderMs) {
      this.#unsaidFailures++;
      return;
    }
    if (isNew) this.#said.add(keptKind);
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
    if (leftMs <= 0 || this.#messages.recovered === undefined) this.#end(fields);
    else if (this.#settling === undefined) this.#endLater(fields, settledMs);
  }

  [Symbol.dispose](): void {
    this.#stopSettling();
  }

  #begunAt(nowMs: number): number {
    if (this.#sinceMs !== undefined) return this.#sinceMs;
    if (this.#recoveredAtMs === undefined || nowMs - this.#recoveredAtMs >= settledMs) {
      this.#said.clear();
      this.#unsaidFailures = 0;
    }
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
    const message = this.#sinceMs === undefined ? this.#messages.first : this.#messages.recovered;
    if (message !== undefined) this.#log.info(message, { ...fields, ...outage });
    this.#worked = true;
    if (this.#sinceMs !== undefined) this.#recoveredAtMs = nowMs;
    this.#sinceMs = undefined;
    this.#failures = 0;
  }

  #stopSettling(): void {
    this.#settling?.abort();
    this.#settling = undefined;
  }
}
