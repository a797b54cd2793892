// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { deadline } from "../../lib/async/clock.ts";
import { assertNever, describeError } from "../../lib/errors.ts";
import { killGroup, ownGroup } from "../../lib/process-group.ts";
import type { WorkloadCheck, WorkloadCheckMethod } from "../../model/workload-check.ts";
import { WorkloadCheckError } from "../status-errors.ts";
import type { ProberDeps } from "./app-prober.ts";
import type { ProbeOutcome, ProbeRequest } from "./probe-outcome.ts";

type NetworkMethod = Exclude<WorkloadCheckMethod, { kind: "exec" }>;

/**
 * Checks once whether a workload outside Kubernetes is healthy, with the probes of a pod's application.
 * @throws WorkloadCheckError with the reason why it is unhealthy
 * Source: istio pkg/istio-agent/health, observed with pilot-agent
 */
export async function checkWorkload(check: WorkloadCheck, deps: ProberDeps, signal: AbortSignal): Promise<void> {
  const { method, timeoutMs } = check;
  using limit = deadline(deps.clock, timeoutMs, signal);
  const failure =
    method.kind === "exec"
      ? await runCommand(method.command, limit.signal)
      : failureOf(await probeNetwork(method, check, deps, limit.signal));
  if (failure !== undefined) throw new WorkloadCheckError(failure);
}

async function probeNetwork(
  method: NetworkMethod,
  { sourceAddress, timeoutMs }: WorkloadCheck,
  deps: ProberDeps,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { createAppProber } = await import("./app-prober.ts");
  const isHttp = method.kind === "http";
  const wrong = isHttp ? method.headers.find(([name]) => !isHeaderName(name)) : undefined;
  if (wrong !== undefined) {
    return { kind: "failed", side: "agent", reason: `${JSON.stringify(wrong[0])} is not the name of a header` };
  }
  // a kept connection says little about new ones
  const settings = { port: 0, appHost: method.host, probeKeepalive: false, probeHttp2: true };
  using prober = createAppProber({ ...settings, probeSourceAddress: isHttp ? (sourceAddress ?? "") : "" }, deps);
  const request = isHttp ? requestWith(method.headers) : { rawHeaders: [], headers: {} };
  return await prober.probe({ handler: method, timeoutMs }, request, signal);
}

function failureOf(outcome: ProbeOutcome): string | undefined {
  switch (outcome.kind) {
    case "passed":
      return undefined;
    case "responded":
      return outcome.status >= 200 && outcome.status < 400 ? undefined : `status code ${String(outcome.status)}`;
    case "failed":
      return outcome.reason;
    default:
      return assertNever(outcome);
  }
}

/** Source: RFC 9110 section 5.6.2 */
function isHeaderName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name);
}

/** @param given are sent in UTF-8, and a header of the prober has one character for each byte */
function requestWith(given: readonly (readonly [string, string])[]): ProbeRequest {
  const headers = given.map(([name, value]) => [name, Buffer.from(value).toString("latin1")] as const);
  const find = (wanted: string): string | undefined => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  const userAgent = find("user-agent") ?? "istio-probe/1.0";
  const others = headers.filter(([name]) => name.toLowerCase() !== "user-agent");
  const host = find("host");
  return {
    rawHeaders: [...others.flat(), "User-Agent", userAgent],
    headers: { "user-agent": userAgent, ...(host === undefined ? undefined : { host }) },
  };
}

/**
 * Runs a command without input and ignores its output. When it ends, and when its time is over, its whole process group
 * is killed: what a probe leaves behind would pile up, one set for each probe.
 * @returns why it failed; undefined for exit code 0
 */
function runCommand(command: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  const [program = "", ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program, args, { ...ownGroup, stdio: "ignore" });
    const kill = (): void => {
      killGroup(child);
    };
    signal.addEventListener("abort", kill, { once: true });
    if (signal.aborted) kill();
    const finish = (failure: string | undefined): void => {
      signal.removeEventListener("abort", kill);
      resolve(failure);
    };
    child.once("error", (error) => {
      finish(describeError(error));
    });
    child.once("exit", (code, ended) => {
      kill();
      if (signal.aborted) finish("command timeout exceeded: signal: killed");
      else if (code === 0) finish(undefined);
      else finish(code === null ? `signal: ${ended ?? "unknown"}` : `exit status ${String(code)}`);
    });
  });
}
