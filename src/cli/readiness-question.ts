// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { type JsonValue, isJsonList, isJsonObject, listOf, parseJsonObject, textOf } from "../lib/json.ts";
import { describeError } from "../lib/errors.ts";
import { HttpError, requestHttp } from "../lib/net/http-client.ts";

/** What came of one question whether the proxy is ready. */
export interface ReadinessAnswer {
  /** Undefined when it is ready. */
  readonly problem: string | undefined;
  /** Whether nobody listens there. */
  readonly refused: boolean;
  /** What is missing, as this agent tells it; undefined from anybody else. */
  readonly missing: readonly MissingStep[] | undefined;
}

/** A step of the start that has not ended: `certificate`, `control-plane`, `envoy-start`... */
export interface MissingStep {
  readonly code: string;
  readonly detail: string;
}

export interface ReadinessQuestion {
  readonly url: URL;
  /** For which the agent may hold back its answer until it is ready; others answer at once. */
  readonly waitSeconds: number;
  /** For the answer, on top of the wait. */
  readonly timeoutMs: number;
}

/** Asks once. A proxy is ready whose answer is 200 and complete. Never rejects. */
export async function askReadiness(
  { url, waitSeconds, timeoutMs }: ReadinessQuestion,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadinessAnswer> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (waitSeconds > 0) headers["prefer"] = `wait=${String(waitSeconds)}`;
  try {
    const deadline = { clock, timeoutMs: waitSeconds * 1_000 + timeoutMs };
    const response = await requestHttp({ url, headers, deadline, maxRedirects: 10, gzip: true }, signal);
    const problem = response.status === 200 ? undefined : `HTTP status code ${String(response.status)}`;
    return { problem, refused: false, missing: parseMissing(response.text()) };
  } catch (error) {
    const isLate = signal.aborted || (error instanceof HttpError && error.failure === "timeout");
    const text = error instanceof HttpError ? error.problem : describeError(error);
    const problem = isLate ? `no answer within ${String(timeoutMs)} ms` : text;
    const refused = error instanceof HttpError && error.systemCode === "ECONNREFUSED";
    return { problem, refused, missing: undefined };
  }
}

/** The causes come first, the steps that could not begin because of them last. */
const order = ["termination", "envoy-start", "configuration-refused", "control-plane", "certificate"];

/** @param body of the agent's answer as JSON: the conditions that fail and are made of no others */
export function parseMissing(body: string): readonly MissingStep[] | undefined {
  const report = parseJsonObject(body);
  if (typeof report?.["ready"] !== "boolean" || !isJsonList(report["checks"])) return undefined;
  return byCode(failed(report["checks"])).toSorted((a, b) => rank(a) - rank(b));
}

function failed(checks: readonly JsonValue[]): readonly MissingStep[] {
  return checks.flatMap((check) => {
    if (!isJsonObject(check) || check["state"] !== "failed") return [];
    const inner = failed(listOf(check["checks"]));
    return inner.length > 0
      ? inner
      : [{ code: textOf(check["code"] ?? check["name"]), detail: textOf(check["detail"]) }];
  });
}

/** One step for all that have its code in common. */
function byCode(steps: readonly MissingStep[]): readonly MissingStep[] {
  const details = new Map<string, Set<string>>();
  for (const { code, detail } of steps) details.set(code, (details.get(code) ?? new Set()).add(detail));
  return [...details].map(([code, texts]) => ({ code, detail: [...texts].join("; ") }));
}

function rank({ code }: MissingStep): number {
  const index = order.indexOf(code);
  return index < 0 ? order.length : index;
}
