// SPDX-License-Identifier: Apache-2.0
import type { LogFields, LogLevel } from "../lib/log/log.ts";

/** Something that happened, as one line without a line break. */
export interface RecordedEvent {
  readonly timeMs: number;
  readonly level: LogLevel;
  readonly text: string;
}

const longestText = 400;

/** The last events, at most `capacity`; what is older is forgotten. Each costs less than a kilobyte. */
export class EventRing {
  readonly #events: RecordedEvent[] = [];
  readonly #capacity: number;
  #next = 0;
  #forgotten = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(event: RecordedEvent): void {
    if (this.#events.length < this.#capacity) {
      this.#events.push(event);
      return;
    }
    this.#events[this.#next] = event;
    this.#next = (this.#next + 1) % this.#capacity;
    this.#forgotten++;
  }

  /** Oldest first. */
  events(): readonly RecordedEvent[] {
    return [...this.#events.slice(this.#next), ...this.#events.slice(0, this.#next)];
  }

  /** How many events came before those that are kept. */
  get forgotten(): number {
    return this.#forgotten;
  }
}

/** One line of an event: `scope: message name=value`, shortened where it is too long for a ring. */
export function renderEvent(scope: string, message: string, fields: LogFields): string {
  const facts = Object.entries(fields).map(([name, value]) => ` ${name}=${renderValue(value)}`);
  const text = `${scope === "" ? "" : `${scope}: `}${message}${facts.join("")}`.replaceAll(/\s*[\r\n]+\s*/g, " ");
  return text.length <= longestText ? text : `${text.slice(0, longestText - 1)}…`;
}

function renderValue(value: unknown): string {
  if (typeof value === "string") return value;
  try {
    return value === undefined ? "undefined" : JSON.stringify(value);
  } catch {
    return "?";
  }
}
