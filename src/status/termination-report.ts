// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import type { PendingHold } from "../model/readiness.ts";
import { type EndedPhase, type ReadinessCheck, renderReport, waterfall } from "./readiness-report.ts";

/** What is known when the agent dies before it was ready. */
export interface FatalEnd {
  readonly cause: unknown;
  readonly pending: readonly PendingHold[];
  /** What Envoy answered last, unless it could serve. */
  readonly envoy?: ReadinessCheck | undefined;
  readonly phases: readonly EndedPhase[];
}

/** Kubernetes shows this much of a container's termination message. */
const maxBytes = 4_096;

/** The readiness tree of an agent that never became ready, the fatal cause first; cut to what Kubernetes shows. */
export function renderTermination({ cause, pending, envoy, phases }: FatalEnd): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "fatal";
  const fatal: ReadinessCheck = { name: code, state: "failed", detail: describeError(cause) };
  const holds = pending.map(({ name, detail, sinceMs, isNote }): ReadinessCheck => {
    return { name, state: isNote ? "not-counted" : "failed", detail: detail ?? "pending", sinceMs };
  });
  const text = renderReport({
    ready: false,
    checks: [fatal, ...(envoy === undefined ? [] : [envoy]), ...holds],
    phases: waterfall(phases),
  });
  return Buffer.from(text)
    .subarray(0, maxBytes)
    .toString()
    .replace(/\uFFFD$/, "");
}
