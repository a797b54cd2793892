// SPDX-License-Identifier: Apache-2.0
import { parseGoDuration } from "../../lib/go-duration.ts";
import type { Budget } from "../../lib/budget.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { istioScopeNames, logScopes } from "../../model/log-scopes.ts";
import { type Reply, textReply } from "../call.ts";
import type { LogLevelControl } from "../inspection.ts";

const levels = new Set(["debug", "info", "warn", "error", "none"]);
/** Sets all scopes. */
const allScopes = "all";
const defaultDurationMs = 5 * 60_000;
const maxDurationMs = 24 * 3_600_000;

/** Changes log levels for a limited time. Then the configured level applies again. */
export class LogLevelRoute implements Disposable {
  readonly #control: LogLevelControl;
  readonly #budget: Budget;
  readonly #clock: Clock;
  readonly #overrides = new Map<string, AbortController>();

  /** @param budget for the overrides */
  constructor(control: LogLevelControl, budget: Budget, clock: Clock) {
    this.#control = control;
    this.#budget = budget;
    this.#clock = clock;
  }

  /**
   * @param query of the POST: `scope=level` pairs, `level=…` for the default or `all=…`, and `for=5m`; empty lists the
   * levels
   */
  reply(method: string, query: string): Reply {
    const changes = [...new URLSearchParams(query)].filter(([name]) => name !== "for");
    if (changes.length > 0) {
      if (method !== "POST") return textReply(405, "use POST to change levels");
      const durationMs = readDuration(new URLSearchParams(query).get("for"));
      if (durationMs === undefined) return textReply(400, "for must be a duration such as 5m, up to 24h");
      for (const [name, level] of changes) {
        if (!levels.has(level)) return textReply(400, `${name}: the level must be one of ${[...levels].join(", ")}`);
      }
      const unknown = changes.find(([name]) => scopesOf(name).length === 0);
      if (unknown !== undefined) {
        const known = [allScopes, ...logScopes].join(", ");
        return textReply(400, `unknown scope ${JSON.stringify(unknown[0].slice(0, 100))}; the scopes are ${known}`);
      }
      const levelOf = new Map(
        changes.flatMap(([name, level]) => scopesOf(name).map((scope) => [scope, level] as const)),
      );
      const added = [...levelOf.keys()].filter((scope) => !this.#overrides.has(scope));
      if (!this.#budget.tryTake(added.length)) return textReply(503, this.#budget.text);
      for (const [scope, level] of levelOf) this.#override(scope, level, durationMs);
    }
    const lines = [...this.#control.read()].map(([scope, level]) => {
      return `${scope}: ${level}${this.#overrides.has(scope) ? " (temporary)" : ""}\n`;
    });
    return { status: 200, headers: { "Content-Type": "text/plain; charset=utf-8" }, body: lines.join("") };
  }

  #override(scope: string, level: string, durationMs: number): void {
    this.#overrides.get(scope)?.abort();
    const replaced = new AbortController();
    this.#overrides.set(scope, replaced);
    this.#control.override(scope, level);
    this.#clock.delay(durationMs, replaced.signal).then(
      () => {
        this.#overrides.delete(scope);
        this.#budget.release();
        this.#control.override(scope, undefined);
      },
      () => undefined,
    );
  }

  [Symbol.dispose](): void {
    for (const override of this.#overrides.values()) override.abort();
  }
}

/** The scopes that a name in a request means: one, all, or none if it is unknown. */
function scopesOf(name: string): readonly string[] {
  if (name === allScopes) return logScopes;
  const scope = name === "level" ? "default" : (istioScopeNames.get(name) ?? name);
  return logScopes.includes(scope) ? [scope] : [];
}

function readDuration(text: string | null): number | undefined {
  if (text === null) return defaultDurationMs;
  const ms = parseGoDuration(text);
  return ms !== undefined && ms > 0 && ms <= maxDurationMs ? ms : undefined;
}
