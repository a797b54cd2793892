// SPDX-License-Identifier: Apache-2.0
import { parseGoDuration } from "../lib/go-duration.ts";
import type { Clock } from "../lib/async/clock.ts";
import type { LogLevelControl } from "./inspection.ts";
import { type Reply, textReply } from "./reply.ts";

const levels = new Set(["debug", "info", "warn", "error", "none"]);
const defaultForMs = 5 * 60_000;
const longestForMs = 24 * 3_600_000;

/** Changes log levels for a while; when it is over the configured level is back, whoever forgot. */
export class LogLevelRoute implements Disposable {
  readonly #control: LogLevelControl;
  readonly #clock: Clock;
  readonly #running = new Map<string, AbortController>();

  constructor(control: LogLevelControl, clock: Clock) {
    this.#control = control;
    this.#clock = clock;
  }

  /**
   * @param query of the POST: `scope=level` pairs or `level=…` for the default, and `for=5m`; empty lists the levels
   */
  answer(method: string, query: string): Reply {
    const asked = [...new URLSearchParams(query)].filter(([name]) => name !== "for");
    if (asked.length > 0) {
      if (method !== "POST") return textReply(405, "levels are changed by POST");
      const forMs = readDuration(new URLSearchParams(query).get("for"));
      if (forMs === undefined) return textReply(400, "for must be a duration such as 5m, up to 24h");
      for (const [name, level] of asked) {
        if (!levels.has(level)) return textReply(400, `${name}: the level must be one of ${[...levels].join(", ")}`);
      }
      for (const [name, level] of asked) this.#override(name === "level" ? "default" : name, level, forMs);
    }
    const lines = [...this.#control.read()].map(([scope, level]) => {
      return `${scope}: ${level}${this.#running.has(scope) ? " (for a while)" : ""}\n`;
    });
    return { status: 200, headers: { "Content-Type": "text/plain; charset=utf-8" }, body: lines.join("") };
  }

  #override(scope: string, level: string, forMs: number): void {
    this.#running.get(scope)?.abort();
    const replaced = new AbortController();
    this.#running.set(scope, replaced);
    this.#control.override(scope, level);
    this.#clock.delay(forMs, replaced.signal).then(
      () => {
        this.#running.delete(scope);
        this.#control.override(scope, undefined);
      },
      () => undefined,
    );
  }

  [Symbol.dispose](): void {
    for (const running of this.#running.values()) running.abort();
  }
}

function readDuration(text: string | null): number | undefined {
  if (text === null) return defaultForMs;
  const ms = parseGoDuration(text);
  return ms !== undefined && ms > 0 && ms <= longestForMs ? ms : undefined;
}
