// SPDX-License-Identifier: Apache-2.0

/**
 * The exit codes of the process. Codes from 64 on follow sysexits(3). Envoy's own exit code, or 128 + signal, is passed
 * on unchanged. docs/exit-codes.md lists all.
 */
export const exitCode = {
  ok: 0,
  /** A proof that failed; a `wait` that timed out. */
  failed: 1,
  /** A failed `request`; a `wait` to which no agent responded. Scripts know this code from pilot-agent. */
  unsuccessful: 255,
  /** Wrong flags, variables or files. */
  configuration: 64,
  /** A resource of this machine is missing or in use: Envoy's binary, a port, a socket, a directory. */
  unavailable: 69,
  /** Connections are not captured. Istio's CNI plugin repairs pods whose validation ends so. */
  notCaptured: 126,
  /** An internal fault of the agent. */
  internal: 70,
  /** The pod ended before it was ever ready. */
  neverReady: 75,
  /** The CA permanently rejects this workload. */
  rejected: 77,
} as const;
