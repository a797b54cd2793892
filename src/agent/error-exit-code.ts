// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** Codes of the errors that are not faults of the agent itself. docs/errors.md explains each. */
const exitCodes: Readonly<Record<string, number>> = {
  AGENT_CONFIG: exitCode.configuration,
  AGENT_USAGE: exitCode.configuration,
  AGENT_SPIFFE_ID: exitCode.configuration,
  AGENT_BOOTSTRAP_WRITE: exitCode.unavailable,
  AGENT_ENVOY_MISSING: exitCode.unavailable,
  AGENT_SOCKET_UNAVAILABLE: exitCode.unavailable,
  AGENT_STATUS_PORT: exitCode.unavailable,
  AGENT_DNS_PORT: exitCode.unavailable,
  AGENT_DNS_RESOLVERS: exitCode.unavailable,
  AGENT_CA_REFUSED: exitCode.refused,
  AGENT_DEV_AGENT_ENDED: exitCode.failed,
  AGENT_DEV_DIRECTORY: exitCode.unavailable,
  AGENT_DEV_RESOURCE: exitCode.configuration,
  AGENT_XDS_RESOURCE: exitCode.configuration,
  AGENT_EMBEDDED_CA: exitCode.unavailable,
  AGENT_REQUEST: exitCode.unsuccessful,
  AGENT_WAIT: exitCode.failed,
  AGENT_WAIT_FOREIGN: exitCode.unsuccessful,
};

/** The exit code for an error that ends a command. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof AgentError)) return exitCode.internal;
  return exitCodes[error.code] ?? exitCode.internal;
}
