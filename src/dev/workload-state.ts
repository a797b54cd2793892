// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { loopback, requestHttp } from "../lib/net/http-client.ts";
import { EnvoyAdmin } from "./envoy-admin.ts";
import { type MeshPorts, spiffeIdOf, type WorkloadName, type WorkloadPorts } from "./mesh.ts";
import type { WorkloadReport } from "./report.ts";

/*
 * The state of a workload, observed from outside: through Envoy's admin port, the agent's status port, and the CA.
 */

/** The start phases of a workload, in order. */
export const phaseNames = ["Envoy", "CSR", "SDS", "ready"] as const;
export type PhaseName = (typeof phaseNames)[number];

export interface PhaseObserver {
  readonly workload: WorkloadName;
  readonly ports: WorkloadPorts;
  /** Whether the CA has signed a certificate for a SPIFFE ID. */
  readonly isSigned: (spiffeId: string) => boolean;
  readonly onPhase: (workload: WorkloadName, phase: PhaseName) => void;
}

const phasePollMs = 20;

/**
 * Waits for each phase: Envoy's admin port responds, the CA has signed, Envoy uses the certificate, the readiness probe
 * through Envoy succeeds.
 * @throws the signal's reason when it aborts
 */
export async function untilWorkloadReady(observer: PhaseObserver, clock: Clock, signal: AbortSignal): Promise<void> {
  const { workload, ports, isSigned, onPhase } = observer;
  const spiffeId = spiffeIdOf(workload);
  const admin = new EnvoyAdmin(ports.admin);
  const checks: Readonly<Record<PhaseName, () => boolean | Promise<boolean>>> = {
    Envoy: () => admin.responds(signal),
    CSR: () => isSigned(spiffeId),
    SDS: async () => (await admin.certificates(signal)).some((certificate) => certificate.spiffeId === spiffeId),
    ready: () => isReady(ports, signal),
  };
  for (const phase of phaseNames) {
    await untilTrue(checks[phase], clock, signal);
    onPhase(workload, phase);
  }
}

/** The readiness probe of a kubelet: through Envoy. */
async function isReady(ports: WorkloadPorts, signal: AbortSignal): Promise<boolean> {
  const { status } = await requestHttp({ url: loopback(ports.readiness, "/healthz/ready") }, signal);
  return status === 200;
}

async function untilTrue(check: () => boolean | Promise<boolean>, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await succeeds(check)) return;
    await clock.delay(phasePollMs, signal);
  }
}

/** While a process starts, no response means: not yet. */
async function succeeds(check: () => boolean | Promise<boolean>): Promise<boolean> {
  try {
    return await check();
  } catch {
    return false;
  }
}

/** What the agent of a workload waits for, one reason each. Never throws. */
export async function readPending(
  { status }: Pick<WorkloadPorts, "status">,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    const response = await requestHttp({ url: loopback(status, "/healthz/ready?verbose") }, signal);
    if (response.status === 200) return ["the agent is ready, but its readiness port on Envoy does not respond"];
    // the first level of the tree, without the checks that passed
    return Array.from(response.text().matchAll(/^\[[-~]\] (.*)$/gm), (match) => match[1] ?? "");
  } catch (error) {
    return [`the agent does not respond: ${describeError(error)}`];
  }
}

/** The state of a workload now. Never throws: what cannot be observed is null, and not ready. */
export async function observeWorkload(
  name: WorkloadName,
  ports: WorkloadPorts,
  signal: AbortSignal,
): Promise<WorkloadReport> {
  const certificates = await new EnvoyAdmin(ports.admin).certificates(signal).catch(() => []);
  const certificate = certificates.find(({ spiffeId }) => spiffeId === spiffeIdOf(name));
  return {
    name,
    spiffeId: certificate?.spiffeId ?? null,
    serial: certificate?.serial ?? null,
    notAfter: certificate?.notAfter ?? null,
    ready: await isReady(ports, signal).catch(() => false),
  };
}

export interface RotationWatch {
  readonly ports: MeshPorts;
  /** The state that was reported last. */
  readonly workloads: readonly WorkloadReport[];
  readonly say: (text: string) => void;
}

const rotationPollMs = 1_000;

/** Reports each certificate that an Envoy replaces from now on. */
export function startRotationWatch({ ports, workloads, say }: RotationWatch, clock: Clock): AsyncDisposable {
  const serials = new Map(workloads.map(({ name, serial }) => [name, serial]));
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await clock.delay(rotationPollMs, signal);
      for (const { name } of workloads) {
        const { serial, notAfter } = await observeWorkload(name, ports[name], signal);
        if (serial === null || serial === serials.get(name)) continue;
        serials.set(name, serial);
        say(`${name}: new certificate ${serial}, valid until ${notAfter ?? "-"}`);
      }
    }
  };
  return startTask(run, () => undefined);
}
