// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import type { Budget } from "../../lib/budget.ts";
import { describeError } from "../../lib/errors.ts";
import { nearestName } from "../../lib/nearest-name.ts";
import { logScopes } from "../../model/log-scopes.ts";
import { jsonReply, type Reply, textReply } from "../call.ts";
import type { LogLevelControl } from "../inspection.ts";
import type { EnvoyLogLevels } from "./envoy-log-levels.ts";
import { type LogLevelChanges, parseLogLevelChanges } from "./log-level-changes.ts";

interface Override {
  readonly resetAtMs: number | undefined;
  /** Aborts when a later change replaces it. */
  readonly replaced: AbortController;
}

export interface LogLevelRequest {
  readonly method: string;
  /** As received, without the question mark. */
  readonly query: string;
  /** Whether the caller takes JSON. */
  readonly asJson: boolean;
}

/** Changes log levels of the agent and of Envoy for a limited time. Then the configured level applies again. */
export class LogLevelRoute implements Disposable {
  readonly #control: LogLevelControl;
  readonly #envoy: EnvoyLogLevels | undefined;
  readonly #budget: Budget;
  readonly #clock: Clock;
  readonly #overrides = new Map<string, Override>();

  /**
   * @param envoy undefined in an agent without Envoy
   * @param budget for the overrides of the agent's scopes
   */
  constructor(control: LogLevelControl, envoy: EnvoyLogLevels | undefined, budget: Budget, clock: Clock) {
    this.#control = control;
    this.#envoy = envoy;
    this.#budget = budget;
    this.#clock = clock;
  }

  /**
   * @param query of the POST: `scope=level` pairs, `level=…` for the default or `all=…`, `envoy=…` or `envoy:logger=…`, and
   * `for=5m`; empty lists the levels
   */
  async reply({ method, query, asJson }: LogLevelRequest): Promise<Reply> {
    if (query !== "") {
      if (method !== "POST") return textReply(405, "use POST to change levels");
      const changes = parseLogLevelChanges(query);
      if (typeof changes === "string") return textReply(400, changes);
      const problem = (await this.#changeEnvoy(changes)) ?? this.#changeScopes(changes);
      if (problem !== undefined) return problem;
    }
    return asJson ? jsonReply(200, await this.#json(), noStore) : this.#text();
  }

  /** @returns the response when nothing of the changes may be applied */
  async #changeEnvoy({ envoy, durationMs }: LogLevelChanges): Promise<Reply | undefined> {
    if (envoy.length === 0) return undefined;
    if (this.#envoy === undefined) return textReply(400, "this agent runs without Envoy");
    try {
      const result = await this.#envoy.change(envoy, durationMs);
      switch (result.kind) {
        case "done":
          return undefined;
        case "too-many":
          return textReply(503, result.problem);
        case "unknown-logger":
          return textReply(400, unknownLogger(result.logger, result.known));
      }
    } catch (error) {
      return textReply(503, `Envoy's levels cannot be changed: ${describeError(error)}`);
    }
  }

  #changeScopes({ scopes, durationMs }: LogLevelChanges): Reply | undefined {
    const added = [...scopes].filter(([scope, level]) => level !== undefined && !this.#overrides.has(scope));
    if (!this.#budget.tryTake(added.length)) return textReply(503, this.#budget.text);
    for (const [scope, level] of scopes) {
      if (level === undefined) this.#reset(scope);
      else this.#override(scope, level, durationMs);
    }
    return undefined;
  }

  #override(scope: string, level: string, durationMs: number | undefined): void {
    this.#overrides.get(scope)?.replaced.abort();
    const replaced = new AbortController();
    const resetAtMs = durationMs === undefined ? undefined : this.#clock.now() + durationMs;
    this.#overrides.set(scope, { resetAtMs, replaced });
    this.#control.override(scope, level);
    if (durationMs === undefined) return;
    this.#clock.delay(durationMs, replaced.signal).then(
      () => {
        this.#reset(scope);
      },
      () => undefined,
    );
  }

  #reset(scope: string): void {
    const override = this.#overrides.get(scope);
    if (override === undefined) return;
    override.replaced.abort();
    this.#overrides.delete(scope);
    this.#budget.release();
    this.#control.override(scope, undefined);
  }

  #text(): Reply {
    const lines = [...this.#control.read()].map(([scope, level]) => {
      return `${scope}: ${level}${this.#overrides.has(scope) ? " (temporary)" : ""}\n`;
    });
    const changed = [...(this.#envoy?.changed() ?? [])].map(([name, level]) => `envoy:${name}: ${level} (temporary)\n`);
    const body = [...lines, ...changed].join("");
    return { status: 200, headers: { "Content-Type": "text/plain; charset=utf-8" }, body };
  }

  async #json(): Promise<unknown> {
    const levels = this.#control.read();
    const scopes = logScopes.map((name) => ({
      name,
      level: levels.get(name) ?? levels.get("default") ?? "info",
      ...timesOf(this.#overrides.get(name)),
    }));
    return { scopes, ...(this.#envoy === undefined ? {} : { envoy: await envoyJson(this.#envoy) }) };
  }

  [Symbol.dispose](): void {
    for (const { replaced } of this.#overrides.values()) replaced.abort();
    this.#envoy?.[Symbol.dispose]();
  }
}

const noStore = { "Cache-Control": "no-store" };

async function envoyJson(envoy: EnvoyLogLevels): Promise<unknown> {
  try {
    const loggers = await envoy.list();
    return {
      loggers: loggers.map(({ name, level, override }) => ({
        name,
        level,
        ...(override === undefined ? {} : { configured: override.original }),
        ...timesOf(override),
      })),
    };
  } catch (error) {
    return { loggers: [], problem: describeError(error) };
  }
}

/** `resetAt` is absent for a change that stays until a restart. */
function timesOf(override: { readonly resetAtMs: number | undefined } | undefined): object {
  if (override === undefined) return { changed: false };
  const { resetAtMs } = override;
  return { changed: true, ...(resetAtMs === undefined ? {} : { resetAt: new Date(resetAtMs).toISOString() }) };
}

function unknownLogger(logger: string, known: readonly string[]): string {
  const near = nearestName(logger, known);
  const hint = near === undefined ? "" : ` (did you mean envoy:${near}?)`;
  return `unknown logger ${JSON.stringify(logger)} of Envoy${hint}; the loggers are ${known.join(", ")}`;
}
