// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import type { DevConfig } from "./dev-config.ts";
import { spiffeIdOf, type WorkloadName, workloadNames } from "./mesh.ts";
import { proveCapture } from "./capture/prove-capture.ts";
import { attemptPlainHttp, proveMtls, provePlainTextRejected } from "./prove-mtls.ts";
import { proveRotation } from "./prove-rotation.ts";
import type { ProofFailure, ProofName, ProofReport } from "./report.ts";
import type { RunningMesh } from "./running-mesh.ts";
import { observeWorkload, type PhaseName, readPending, untilWorkloadReady } from "./workload-state.ts";

export interface ProofObserver {
  readonly onPhase: (workload: WorkloadName, phase: PhaseName) => void;
  readonly onReady: () => void;
  readonly onProof: (proof: ProofName, failure: ProofFailure | undefined) => void;
}

/** What was observed, and which proofs failed. */
export interface ProofResult {
  readonly proof: ProofReport;
  readonly failures: readonly ProofFailure[];
}

/** The proof of a run that ended before the first request. */
export const nothingProved: ProofReport = {
  mtlsStatus: null,
  peerSeenByApi: null,
  plainTextRefused: null,
  rotation: null,
};

/** Waits until both workloads are ready, then runs the proofs in order. A failed proof is a result, not an error. */
export async function runProofs(
  mesh: RunningMesh,
  config: Pick<DevConfig, "readyWithinMs" | "rotationWithinMs">,
  observer: ProofObserver,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProofResult> {
  const notReady = await untilReady(mesh, config.readyWithinMs, observer, clock, signal);
  if (notReady !== undefined) return { proof: nothingProved, failures: [notReady] };
  observer.onReady();
  const mtls = await proveMtls(mesh.ports.web.app, signal);
  observer.onProof("mtls", mtls.failure);
  const capture = mesh.network === undefined ? undefined : await proveCapture(mesh.network);
  if (capture !== undefined) observer.onProof("capture", capture.failure);
  const attemptPlain = (until: AbortSignal): ReturnType<typeof attemptPlainHttp> =>
    mesh.network?.attemptPlainHttp() ?? attemptPlainHttp({ host: "127.0.0.1", port: mesh.ports.api.envoy }, until);
  const plainText = await provePlainTextRejected(attemptPlain, mesh.apps.api, clock, signal);
  observer.onProof("plain-text", plainText.failure);
  // Without mTLS there is no traffic under which to rotate.
  const rotation =
    mtls.failure === undefined ? await proveRotationOf(mesh, config.rotationWithinMs, clock, signal) : undefined;
  if (rotation !== undefined) observer.onProof("rotation", rotation.failure);
  return {
    proof: {
      ...mtls.facts,
      ...plainText.facts,
      rotation: rotation?.facts ?? null,
      ...(capture === undefined ? {} : { capture: capture.facts }),
    },
    failures: [mtls.failure, capture?.failure, plainText.failure, rotation?.failure].filter(
      (failure) => failure !== undefined,
    ),
  };
}

/** @returns what is not ready and why, when the time has passed */
async function untilReady(
  mesh: RunningMesh,
  withinMs: number,
  observer: ProofObserver,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProofFailure | undefined> {
  using limit = deadline(clock, withinMs, signal);
  const wait = async (workload: WorkloadName): Promise<readonly string[]> => {
    try {
      const isSigned = (): boolean => mesh.hasSigned(workload, spiffeIdOf(workload));
      const { onPhase } = observer;
      await untilWorkloadReady({ workload, ports: mesh.ports[workload], isSigned, onPhase }, clock, limit.signal);
      return [];
    } catch (error) {
      signal.throwIfAborted();
      if (!limit.signal.aborted) throw error;
      return (await readPending(mesh.ports[workload], signal)).map((reason) => `${workload}: ${reason}`);
    }
  };
  const details = (await Promise.all(workloadNames.map(wait))).flat();
  if (details.length === 0) return undefined;
  return { proof: "ready", why: `not ready after ${String(withinMs / 1_000)} s: ${details.join("; ")}`, details };
}

function proveRotationOf(
  mesh: RunningMesh,
  withinMs: number,
  clock: Clock,
  signal: AbortSignal,
): ReturnType<typeof proveRotation> {
  const serialOf = async (workload: WorkloadName, until: AbortSignal): Promise<string | undefined> =>
    (await observeWorkload(workload, mesh.ports[workload], until)).serial ?? undefined;
  return proveRotation({ webAppPort: mesh.ports.web.app, serialOf, withinMs }, clock, signal);
}
