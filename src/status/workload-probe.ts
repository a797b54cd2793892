// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.ts";
import { assertNever } from "../lib/errors.ts";
import { probeCommand } from "./exec-probe.ts";
import type { ProbeOutcome, ProbeRequest } from "./probe-outcome.ts";
import type { WorkloadHealthConfig, WorkloadProbeHandler } from "./workload-health-config.ts";

/** Probes a workload once. @returns why it is unhealthy, or undefined */
export async function probeWorkload(
  { handler, timeoutMs }: WorkloadHealthConfig,
  deps: { readonly clock: Clock },
  signal: AbortSignal,
): Promise<string | undefined> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  switch (handler.kind) {
    case "http":
      return failureOf(await probeHttp(handler, limit));
    case "tcp": {
      const { probeTcp } = await import("./tcp-probe.ts");
      return failureOf(await probeTcp({ host: handler.host }, handler.port, limit));
    }
    case "grpc": {
      const { probeGrpc } = await import("./grpc-probe.ts");
      const { port, service } = handler;
      const options = { address: { host: handler.host }, port, service, timeoutMs, userAgent: undefined };
      return failureOf(await probeGrpc(options, deps, limit));
    }
    case "exec":
      return await probeCommand(handler.command, limit);
    default:
      return assertNever(handler);
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
  handler: Extract<WorkloadProbeHandler, { kind: "http" }>,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { createHttpProber } = await import("./http-probe.ts");
  const { host, sourceAddress, headers } = handler;
  // connections are not kept: a kept one would say little about new ones
  const settings = {
    port: 0,
    appHost: host,
    probeSourceAddress: sourceAddress,
    probeKeepalive: false,
    probeHttp2: true,
  };
  using prober = createHttpProber(settings);
  return await prober.probe(handler, requestWith(headers), signal);
}

function requestWith(headers: readonly { readonly name: string; readonly value: string }[]): ProbeRequest {
  const find = (name: string): string | undefined =>
    headers.find((header) => header.name.toLowerCase() === name)?.value;
  const userAgent = find("user-agent") ?? "istio-probe/1.0";
  const others = headers.filter((header) => header.name.toLowerCase() !== "user-agent");
  const host = find("host");
  return {
    rawHeaders: [...others.flatMap(({ name, value }) => [name, value]), "User-Agent", userAgent],
    headers: { "user-agent": userAgent, ...(host === undefined ? undefined : { host }) },
  };
}
