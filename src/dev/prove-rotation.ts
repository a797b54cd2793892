// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { type WorkloadName, workloadNames } from "./mesh.ts";
import { requestApiThroughMesh } from "./prove-mtls.ts";
import type { ProofOutcome, RotationReport } from "./report.ts";

export interface RotationProofOptions {
  readonly webAppPort: number;
  /** The serial that a workload's Envoy uses now; undefined while it has none. */
  readonly serialOf: (workload: WorkloadName, signal: AbortSignal) => Promise<string | undefined>;
  readonly withinMs: number;
}

const requestIntervalMs = 20;
const serialPollMs = 100;
const minRequests = 20;

/**
 * Proves that certificates rotate while requests pass, and that no request fails: the serial of both Envoys changes, and
 * api receives web's old certificate and its new one.
 */
export async function proveRotation(
  options: RotationProofOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProofOutcome<RotationReport>> {
  using limit = deadline(clock, options.withinMs, signal);
  const serials = new SerialChanges();
  const traffic = new Traffic(options.webAppPort);
  const proved = (): boolean =>
    serials.allChanged && traffic.requests >= minRequests && traffic.peerCertificates.size >= 2;
  const poll = async (): Promise<void> => {
    for (const workload of workloadNames) serials.note(workload, await options.serialOf(workload, limit.signal));
  };
  try {
    await poll();
    let nextPollMs = clock.monotonicMs();
    while (!proved() && traffic.failed === 0) {
      await traffic.requestOnce(limit.signal);
      if (clock.monotonicMs() >= nextPollMs) {
        await poll();
        nextPollMs = clock.monotonicMs() + serialPollMs;
      }
      await clock.delay(requestIntervalMs, limit.signal);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!limit.signal.aborted) throw error;
  }
  return outcomeOf(serials, traffic, options.withinMs);
}

function outcomeOf(serials: SerialChanges, traffic: Traffic, withinMs: number): ProofOutcome<RotationReport> {
  const facts: RotationReport = {
    rotations: serials.changes,
    requests: traffic.requests,
    failed: traffic.failed,
    certificatesSeenByApi: traffic.peerCertificates.size,
  };
  const why = problemOf(serials, traffic, withinMs);
  return { facts, failure: why === undefined ? undefined : { proof: "rotation", why } };
}

function problemOf(serials: SerialChanges, traffic: Traffic, withinMs: number): string | undefined {
  const count = `${String(traffic.failed)} of ${String(traffic.requests)}`;
  if (traffic.failed > 0) return `${count} requests failed during the rotation: ${traffic.firstProblem}`;
  if (!serials.allChanged) {
    return `the certificate of ${serials.unchanged.join(" and ")} was not replaced within ${String(withinMs)} ms`;
  }
  if (traffic.requests < minRequests) return `only ${String(traffic.requests)} requests passed during the rotation`;
  if (traffic.peerCertificates.size < 2) return "api never received web's new certificate";
  return undefined;
}

/** The changes of the serials that both Envoys use. */
class SerialChanges {
  readonly #last = new Map<WorkloadName, string>();
  readonly #changed = new Set<WorkloadName>();
  changes = 0;

  note(workload: WorkloadName, serial: string | undefined): void {
    if (serial === undefined) return;
    const last = this.#last.get(workload);
    this.#last.set(workload, serial);
    if (last === undefined || last === serial) return;
    this.#changed.add(workload);
    this.changes++;
  }

  get unchanged(): readonly WorkloadName[] {
    return workloadNames.filter((workload) => !this.#changed.has(workload));
  }

  get allChanged(): boolean {
    return this.unchanged.length === 0;
  }
}

/** Sequential requests, and the certificates that api received with them. */
class Traffic {
  readonly #webAppPort: number;
  readonly peerCertificates = new Set<string>();
  requests = 0;
  failed = 0;
  firstProblem = "";

  constructor(webAppPort: number) {
    this.#webAppPort = webAppPort;
  }

  async requestOnce(signal: AbortSignal): Promise<void> {
    const { status, peer, problem } = await requestApiThroughMesh(this.#webAppPort, "/proof/rotation", signal);
    signal.throwIfAborted();
    this.requests++;
    if (peer !== undefined) this.peerCertificates.add(peer.hash);
    if (status === 200) return;
    this.failed++;
    if (this.firstProblem === "") this.firstProblem = `status ${String(status)} ${problem}`.trim();
  }
}
