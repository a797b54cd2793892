// SPDX-License-Identifier: Apache-2.0

/**
 * What the process ends with. Codes from 64 on follow sysexits(3); Envoy's own code, or 128 + signal, is passed on
 * unchanged. docs/exit-codes.md has the list.
 */
export const exitCode = {
  ok: 0,
  /** A proof that failed; a `wait` for an agent that was not ready in time. */
  failed: 1,
  /** A `request` that was refused, a `wait` for another's address: the code that scripts know from pilot-agent. */
  unsuccessful: 255,
  /** Wrong flags, variables or files. */
  configuration: 64,
  /** Something this machine must provide is not there or is taken: Envoy's binary, a port, a socket, a directory. */
  unavailable: 69,
  /** A fault of the agent itself. */
  internal: 70,
  /** The CA refuses for good. */
  refused: 77,
} as const;
