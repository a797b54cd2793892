// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { loopback, requestHttp } from "../lib/net/http-client.ts";
import { EnvoyAdmin } from "./envoy-admin.ts";
import { spiffeIdOf, type WorkloadName, type WorkloadPorts } from "./mesh.ts";

/** The steps of one workload, in their order. */
export const phaseNames = ["Envoy", "CSR", "SDS", "ready"] as const;
export type PhaseName = (typeof phaseNames)[number];

export interface PhaseObserver {
  readonly workload: WorkloadName;
  readonly ports: WorkloadPorts;
  /** Whether the CA has signed a certificate for a SPIFFE ID. */
  readonly isSigned: (spiffeId: string) => boolean;
  readonly onPhase: (workload: WorkloadName, phase: PhaseName) => void;
}

const lookEveryMs = 20;

/**
 * Watches a workload come up, from the outside: Envoy answers on its admin port, the CA has signed, Envoy uses the
 * certificate, readiness is answered through Envoy. Ends with the last; throws the signal's reason when it aborts.
 */
export async function untilWorkloadReady(observer: PhaseObserver, clock: Clock, signal: AbortSignal): Promise<void> {
  const { workload, ports, isSigned, onPhase } = observer;
  const spiffeId = spiffeIdOf(workload);
  const admin = new EnvoyAdmin(ports.admin);
  const looks: Readonly<Record<PhaseName, () => boolean | Promise<boolean>>> = {
    Envoy: () => admin.answers(signal),
    CSR: () => isSigned(spiffeId),
    SDS: async () => (await admin.certificates(signal)).some((certificate) => certificate.spiffeId === spiffeId),
    ready: () => isReady(ports, signal),
  };
  for (const phase of phaseNames) {
    await untilTrue(looks[phase], clock, signal);
    onPhase(workload, phase);
  }
}

/** Readiness as a kubelet asks for it: through Envoy. */
export async function isReady(ports: WorkloadPorts, signal: AbortSignal): Promise<boolean> {
  const { status } = await requestHttp({ url: loopback(ports.readiness, "/healthz/ready") }, signal);
  return status === 200;
}

/** What an agent says it waits for, one thing a line. Never throws. */
export async function readPending(
  { status }: Pick<WorkloadPorts, "status">,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    const answer = await requestHttp({ url: loopback(status, "/healthz/ready?verbose") }, signal);
    if (answer.status === 200) return ["the agent is ready, but Envoy does not answer for it"];
    // the tree's first level, of which what passes is left out
    return Array.from(answer.text().matchAll(/^\[[-~]\] (.*)$/gm), (match) => match[1] ?? "");
  } catch (error) {
    return [`the agent does not answer: ${describeError(error)}`];
  }
}

async function untilTrue(look: () => boolean | Promise<boolean>, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await succeeds(look)) return;
    await clock.delay(lookEveryMs, signal);
  }
}

/** While a process comes up, no answer is an answer: not yet. */
async function succeeds(look: () => boolean | Promise<boolean>): Promise<boolean> {
  try {
    return await look();
  } catch {
    return false;
  }
}
