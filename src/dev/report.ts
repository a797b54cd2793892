// SPDX-License-Identifier: Apache-2.0
import type { WorkloadName } from "./mesh.ts";

/** What a run of `attache dev` observed. This is also the shape of `--json`. */
export interface DevReport {
  readonly workloads: readonly WorkloadReport[];
  readonly proof: ProofReport;
  /** Milliseconds from the start of the command to the end of each step, in the order of the steps. */
  readonly phases: Readonly<Record<string, number>>;
  /** Empty when everything was proved. */
  readonly failures: readonly ProofFailure[];
}

export interface WorkloadReport {
  readonly name: WorkloadName;
  /** From the certificate that Envoy uses; null while it has none. So are serial (hexadecimal) and notAfter (RFC 3339). */
  readonly spiffeId: string | null;
  readonly serial: string | null;
  readonly notAfter: string | null;
  /** Answered by the agent, asked through Envoy. */
  readonly ready: boolean;
}

/** Null stands for what was not observed, because something before it had failed. */
export interface ProofReport {
  /** Status of a request web -> api. */
  readonly mtlsStatus: number | null;
  /** The caller's SPIFFE ID as api's application received it. */
  readonly peerSeenByApi: string | null;
  readonly plainTextRefused: boolean | null;
  readonly rotation: RotationReport | null;
}

export interface RotationReport {
  /** Changes of the serial in `/certs` of the two Envoys, seen while requests passed. */
  readonly rotations: number;
  readonly requests: number;
  readonly failed: number;
  /** Different certificates of web that api was shown by these requests. */
  readonly certificatesSeenByApi: number;
}

/** In the order in which they are tried. */
export const proofNames = ["ready", "mtls", "plain-text", "rotation"] as const;
export type ProofName = (typeof proofNames)[number];

export interface ProofFailure {
  readonly proof: ProofName;
  /** One line: what was observed instead. */
  readonly why: string;
  /** The same for people, where it is more than one thing. */
  readonly details?: readonly string[];
}

/** What one proof brought: the facts observed, and why they do not prove it, if so. */
export interface ProofOutcome<Facts> {
  readonly facts: Facts;
  readonly failure: ProofFailure | undefined;
}

export function renderJsonReport(report: DevReport): string {
  return `${JSON.stringify(report)}\n`;
}
