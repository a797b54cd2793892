// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { type JsonValue, isJsonList, isJsonObject, listOf, parseJsonObject, textOf } from "../lib/json.ts";
import { HttpError, requestHttp } from "../lib/net/http-client.ts";
import { plainExchange } from "../lib/net/plain-exchange.ts";

/** The result of one readiness request. */
export interface ReadinessResponse {
  /** Undefined when the proxy is ready. */
  readonly problem: string | undefined;
  /** Whether no process listens there. */
  readonly isRefused: boolean;
  /** Whether no response came in time. */
  readonly isLate: boolean;
  /** Whether there was an HTTP response. */
  readonly isResponse: boolean;
  /** What the agent reports as missing; undefined when the response is not an agent's. */
  readonly missing: readonly MissingStep[] | undefined;
}

/** A phase of the start that has not ended: `certificate`, `control-plane`, `envoy-start`... */
export interface MissingStep {
  readonly code: string;
  readonly detail: string;
}

export interface PollPolicy {
  /** Pause between two requests to a server that does not support waiting. */
  readonly periodMs: number;
  /** For one request, on top of the wait. */
  readonly timeoutMs: number;
}

/** How long the agent may delay its response. Less than Envoy's timeout for a request that passes through it. */
const waitSeconds = 10;
const leastPauseMs = 10;

/** A readiness address that is polled until the proxy is ready. */
export class ReadinessPoll {
  readonly #url: URL;
  readonly #policy: PollPolicy;
  readonly #clock: Clock;
  readonly #startMs: number;
  /** What the agent reported as missing last; undefined while no agent has responded. */
  missing: readonly MissingStep[] | undefined;
  lastProblem = "no request was made";
  /** Whether any HTTP server has responded, an agent or another one. */
  hasResponded = false;
  /** Whether nothing listened there at the last request. */
  isRefused = false;
  /** Whether the last request, which was not cut short, got no response in time. */
  isLate = false;

  constructor(url: URL, policy: PollPolicy, clock: Clock) {
    this.#url = url;
    this.#policy = policy;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  /**
   * @param soon once it aborts, readiness is near: the pauses start short and grow to a period
   * @param mayBeAbsent whether an address that is refused when readiness is near counts as ready: Envoy does not listen there
   * @throws the signal's reason
   */
  async untilReady(signal: AbortSignal, soon?: AbortSignal, mayBeAbsent = false): Promise<void> {
    let soonMs: number | undefined;
    for (let wait = 0; ; ) {
      const startMs = this.#clock.monotonicMs();
      const isAbsenceFinal = mayBeAbsent && soon?.aborted === true;
      const response = await this.request(signal, wait);
      if (response.problem === undefined || (isAbsenceFinal && response.isRefused)) return;
      signal.throwIfAborted();
      const tookMs = this.#clock.monotonicMs() - startMs;
      const isAgent = response.missing !== undefined;
      const hasWaited = isAgent && (wait === 0 || tookMs > wait * 900);
      wait = isAgent ? waitSeconds : 0;
      if (soon?.aborted === true) {
        soonMs ??= this.#clock.monotonicMs();
        await this.#clock.delay(this.#growingPauseMs(soonMs), signal);
      } else await this.#pause(hasWaited ? 0 : this.#pauseMs(response), signal, soon);
    }
  }

  /** Sends one request. Never rejects. @param wait seconds by which the agent may delay its response */
  async request(signal: AbortSignal, wait = 0): Promise<ReadinessResponse> {
    const response = await requestReadiness(this.#url, wait, this.#policy.timeoutMs, this.#clock, signal);
    if (response.isResponse) this.hasResponded = true;
    if (!signal.aborted) {
      this.isRefused = response.isRefused;
      this.isLate = response.isLate;
      this.missing = response.missing ?? this.missing;
      this.lastProblem = response.problem ?? this.lastProblem;
    }
    return response;
  }

  /** Short at first for a process that does not listen yet. */
  #pauseMs({ isRefused }: ReadinessResponse): number {
    return isRefused ? this.#growingPauseMs(this.#startMs) : this.#policy.periodMs;
  }

  /** Grows with the time since `sinceMs`, up to a period. */
  #growingPauseMs(sinceMs: number): number {
    return Math.min(this.#policy.periodMs, leastPauseMs + (this.#clock.monotonicMs() - sinceMs) / 50);
  }

  async #pause(ms: number, signal: AbortSignal, soon: AbortSignal | undefined): Promise<void> {
    const ends = soon === undefined ? signal : AbortSignal.any([signal, soon]);
    await this.#clock.delay(ms, ends).catch(() => {
      signal.throwIfAborted();
    });
  }
}

/** The proxy is ready when the status is 200. Servers other than the agent ignore the wait. */
async function requestReadiness(
  url: URL,
  wait: number,
  timeoutMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<ReadinessResponse> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (wait > 0) headers["prefer"] = `wait=${String(wait)}`;
  try {
    const deadline = { clock, timeoutMs: wait * 1_000 + timeoutMs };
    const response = await requestHttp({ url, headers, deadline, maxRedirects: 10, exchange: plainExchange }, signal);
    const problem = response.status === 200 ? undefined : `HTTP status code ${String(response.status)}`;
    return { problem, isRefused: false, isLate: false, isResponse: true, missing: parseMissing(response.text()) };
  } catch (error) {
    const isLate = signal.aborted || (error instanceof HttpError && error.failure === "timeout");
    const text = error instanceof HttpError ? error.problem : describeError(error);
    const problem = isLate ? `no response within ${String(wait * 1_000 + timeoutMs)} ms` : text;
    return {
      problem,
      isRefused: error instanceof HttpError && error.systemCode === "ECONNREFUSED",
      isLate,
      isResponse: false,
      missing: undefined,
    };
  }
}

/** Causes before the phases that wait for them. */
const order = ["termination", "envoy-start", "configuration-refused", "control-plane", "certificate"];
/** It follows from any of the others. */
const consequence = "envoy-initialising";

/** @param body an agent's JSON response; the innermost failed checks are what is missing */
function parseMissing(body: string): readonly MissingStep[] | undefined {
  const report = parseJsonObject(body);
  if (typeof report?.["ready"] !== "boolean" || !isJsonList(report["checks"])) return undefined;
  const steps = byCode(failed(report["checks"])).toSorted((a, b) => rank(a) - rank(b));
  const causes = steps.filter(({ code }) => code !== consequence);
  return causes.length === 0 ? steps : causes;
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

/** Merges the steps of one code. */
function byCode(steps: readonly MissingStep[]): readonly MissingStep[] {
  const details = new Map<string, Set<string>>();
  for (const { code, detail } of steps) details.set(code, (details.get(code) ?? new Set()).add(detail));
  return [...details].map(([code, texts]) => ({ code, detail: [...texts].join("; ") }));
}

function rank({ code }: MissingStep): number {
  const index = order.indexOf(code);
  return index < 0 ? order.length : index;
}

const noAgentAdvice = "it has not started, or has exited; see its log, that of the container istio-proxy";

const lateAdvice = "it is stopped or overloaded; see attache doctor, or restart the container";

/** What is known of an agent's address. */
type AgentView = Pick<ReadinessPoll, "missing" | "isLate" | "lastProblem">;

/** What a pod that is not ready waits for, in one line. */
export function renderMissing({ missing, isLate, lastProblem }: AgentView, statusUrl: URL): string {
  if (isLate) return `missing agent (${statusUrl.href} accepts connections, but ${lastProblem}: ${lateAdvice})`;
  if (missing === undefined) return `missing agent (no agent responded at ${statusUrl.href}: ${noAgentAdvice})`;
  if (missing.length === 0) return "the agent is ready, but the address is not";
  return `missing ${missing.map(({ code, detail }) => (detail === "" ? code : `${code} (${detail})`)).join(", ")}`;
}
