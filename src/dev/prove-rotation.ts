// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { type WorkloadName, workloadNames } from "./mesh.ts";
import { askApiThroughMesh } from "./prove-mtls.ts";
import type { ProofOutcome, RotationReport } from "./report.ts";

export interface RotationProofOptions {
  readonly webAppPort: number;
  /** The serial that a workload's Envoy uses now; undefined while it has none. */
  readonly serialOf: (workload: WorkloadName, signal: AbortSignal) => Promise<string | undefined>;
  readonly withinMs: number;
}

const pauseBetweenRequestsMs = 20;
const pauseBetweenLooksMs = 100;
const leastRequests = 20;

/**
 * Proves that certificates are replaced while requests pass, and that none of these fails: the serial of both Envoys
 * changes, and api is shown web's certificate from before and the one from after.
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
    serials.allChanged && traffic.requests >= leastRequests && traffic.peerCertificates.size >= 2;
  const look = async (): Promise<void> => {
    for (const workload of workloadNames) serials.note(workload, await options.serialOf(workload, limit.signal));
  };
  try {
    await look();
    let nextLookMs = clock.monotonicMs();
    while (!proved() && traffic.failed === 0) {
      await traffic.askOnce(limit.signal);
      if (clock.monotonicMs() >= nextLookMs) {
        await look();
        nextLookMs = clock.monotonicMs() + pauseBetweenLooksMs;
      }
      await clock.delay(pauseBetweenRequestsMs, limit.signal);
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
  if (traffic.requests < leastRequests) return `only ${String(traffic.requests)} requests passed during the rotation`;
  if (traffic.peerCertificates.size < 2) return "api was never shown web's new certificate";
  return undefined;
}

/** The serials that Envoy used, one after the other. */
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

/** Requests one after the other, and what api saw of them. */
class Traffic {
  readonly #webAppPort: number;
  readonly peerCertificates = new Set<string>();
  requests = 0;
  failed = 0;
  firstProblem = "";

  constructor(webAppPort: number) {
    this.#webAppPort = webAppPort;
  }

  async askOnce(signal: AbortSignal): Promise<void> {
    const { status, peer, problem } = await askApiThroughMesh(this.#webAppPort, "/proof/rotation", signal);
    signal.throwIfAborted();
    this.requests++;
    if (peer !== undefined) this.peerCertificates.add(peer.hash);
    if (status === 200) return;
    this.failed++;
    if (this.firstProblem === "") this.firstProblem = `answered ${String(status)} ${problem}`.trim();
  }
}
