// SPDX-License-Identifier: Apache-2.0
import { AgentError, systemCode } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** The agent cannot listen on the status port, so the pod could never become ready. Fatal. */
export class StatusPortError extends AgentError {
  readonly code = "AGENT_STATUS_PORT";
  override readonly exitCode = exitCode.unavailable;
  readonly port: number;
  readonly taken: boolean;
  /** The process that listens on the port, where this user may see it. */
  readonly holder: string | undefined;
  constructor(port: number, holder: string | undefined, cause: unknown) {
    const taken = systemCode(cause) === "EADDRINUSE";
    const why = taken
      ? `${holder ?? "another process"} already listens there; stop it, or set statusPort in PROXY_CONFIG to a free port`
      : "the port cannot be opened; set statusPort in PROXY_CONFIG to a port that this user may open";
    super(`listen on status port ${String(port)}: ${why}`, { cause });
    this.port = port;
    this.taken = taken;
    this.holder = holder;
  }
}

/** The workload is unhealthy, or the check could not be made. */
export class WorkloadCheckError extends AgentError {
  readonly code = "AGENT_WORKLOAD_CHECK";
}
