// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { isJsonObject, type JsonObject, listOf, objectOf, parseJsonObject, textOf } from "../../lib/json.ts";
import { type AgentClient, AgentResponseError } from "../agent-client.ts";

/** A scope of the agent's log, or a logger of Envoy. */
export interface LogLevel {
  readonly name: string;
  readonly level: string;
  /** Whether it differs from the configured one because somebody changed it. */
  readonly changed: boolean;
  /** Of a changed one. ISO 8601; undefined: at a restart. */
  readonly resetAt: string | undefined;
}

/** The levels of an agent and of its Envoy. */
export interface LogLevels {
  readonly scopes: readonly LogLevel[];
  /** Undefined without Envoy. */
  readonly envoy: readonly LogLevel[] | undefined;
  /** Why Envoy's levels are not known; empty when they are. */
  readonly envoyProblem: string;
}

/** The agent does not accept a change of levels: an unknown scope, for example. */
export class LogLevelError extends AgentError {
  readonly code = "AGENT_LOG_LEVEL";
  override readonly exitCode: number;
  /** @param isUsage whether the command line is wrong, and not the state of the agent */
  constructor(problem: string, isUsage: boolean) {
    super(`change the log level: ${problem}`);
    this.exitCode = isUsage ? exitCode.configuration : exitCode.failed;
  }
}

const path = "/debug/logging";

/** @throws AgentUnreachableError, AgentResponseError */
export async function readLogLevels(agent: AgentClient, signal: AbortSignal): Promise<LogLevels> {
  return parseLogLevels(await agent.readJson(path, signal));
}

export interface LogLevelChange {
  readonly level: string;
  readonly scopes: readonly string[];
  /** As the agent parses it: `10m`, `0`. */
  readonly duration: string;
}

/**
 * Changes levels. The agent restores them by itself.
 * @returns the levels after the change
 * @throws LogLevelError, AgentUnreachableError, AgentResponseError
 */
export async function changeLogLevels(
  agent: AgentClient,
  { level, scopes, duration }: LogLevelChange,
  signal: AbortSignal,
): Promise<LogLevels> {
  const query = new URLSearchParams([...scopes.map((scope) => [scope, level]), ["for", duration]]);
  // Envoy is given 2 s.
  const request = { path: `${path}?${query.toString()}`, method: "POST" as const, timeoutMs: 5_000 };
  const response = await agent.request(request, signal);
  const text = response.text();
  if (response.status === 400 || response.status === 503) throw new LogLevelError(text.trim(), response.status === 400);
  const document = response.status === 200 ? parseJsonObject(text) : undefined;
  if (document === undefined) throw new AgentResponseError(agent.url, path, response);
  return parseLogLevels(document);
}

function parseLogLevels(document: JsonObject): LogLevels {
  const envoy = document["envoy"];
  return {
    scopes: parseList(document["scopes"]),
    envoy: isJsonObject(envoy) ? parseList(envoy["loggers"]) : undefined,
    envoyProblem: textOf(objectOf(envoy)["problem"]),
  };
}

function parseList(value: JsonObject[string] | undefined): readonly LogLevel[] {
  return listOf(value).map((entry) => {
    const { name, level, changed, resetAt } = objectOf(entry);
    return {
      name: textOf(name),
      level: textOf(level),
      changed: changed === true,
      resetAt: typeof resetAt === "string" ? resetAt : undefined,
    };
  });
}
