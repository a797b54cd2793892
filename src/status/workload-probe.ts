// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { AgentError, assertNever } from "../lib/errors.ts";
import type { WorkloadCheck, WorkloadCheckMethod } from "../model/workload-check.ts";
import { probeCommand } from "./exec-probe.ts";
import type { ProbeOutcome, ProbeRequest } from "./probe-outcome.ts";

/** The workload is not well, or could not be asked. */
export class WorkloadCheckError extends AgentError {
  readonly code = "AGENT_WORKLOAD_CHECK";
}

/**
 * Asks a workload once whether it is well, as the application of a pod is asked.
 * @throws WorkloadCheckError saying why it is not
 * Source: istio pkg/istio-agent/health, observed with pilot-agent
 */
export async function checkWorkload(
  check: WorkloadCheck,
  deps: { readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  using limit = deadline(deps.clock, check.timeoutMs, signal);
  const failure = await failureOfCheck(check, deps, limit.signal);
  if (failure !== undefined) throw new WorkloadCheckError(failure);
}

async function failureOfCheck(
  { method, sourceAddress, timeoutMs }: WorkloadCheck,
  deps: { readonly clock: Clock },
  limit: AbortSignal,
): Promise<string | undefined> {
  switch (method.kind) {
    case "http":
      return failureOf(await probeHttp(method, sourceAddress, limit));
    case "tcp": {
      const { probeTcp } = await import("./tcp-probe.ts");
      return failureOf(await probeTcp({ host: method.host }, method.port, limit));
    }
    case "grpc": {
      const { probeGrpc } = await import("./grpc-probe.ts");
      const { port, service } = method;
      const options = { address: { host: method.host }, port, service, timeoutMs, userAgent: undefined };
      return failureOf(await probeGrpc(options, deps, limit));
    }
    case "exec":
      return await probeCommand(method.command, limit);
    default:
      return assertNever(method);
  }
}

function failureOf(outcome: ProbeOutcome): string | undefined {
  switch (outcome.kind) {
    case "passed":
      return undefined;
    case "answered":
      return outcome.status >= 200 && outcome.status < 400 ? undefined : `status code ${String(outcome.status)}`;
    case "failed":
      return outcome.reason;
    default:
      return assertNever(outcome);
  }
}

async function probeHttp(
  method: Extract<WorkloadCheckMethod, { kind: "http" }>,
  sourceAddress: string | undefined,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { createHttpProber } = await import("./http-probe.ts");
  // connections are not kept: a kept one would say little about new ones
  using prober = createHttpProber({
    port: 0,
    appHost: method.host,
    probeSourceAddress: sourceAddress ?? "",
    probeKeepalive: false,
    probeHttp2: true,
  });
  return await prober.probe(method, requestWith(method.headers), signal);
}

function requestWith(headers: readonly (readonly [string, string])[]): ProbeRequest {
  const find = (wanted: string): string | undefined => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  const userAgent = find("user-agent") ?? "istio-probe/1.0";
  const others = headers.filter(([name]) => name.toLowerCase() !== "user-agent");
  const host = find("host");
  return {
    rawHeaders: [...others.flat(), "User-Agent", userAgent],
    headers: { "user-agent": userAgent, ...(host === undefined ? undefined : { host }) },
  };
}
