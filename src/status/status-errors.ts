// SPDX-License-Identifier: Apache-2.0
import { AgentError, systemCode } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** The status port cannot be listened on, so nobody could ever see the pod as ready. Fatal. */
export class StatusPortError extends AgentError {
  readonly code = "AGENT_STATUS_PORT";
  override readonly exitCode = exitCode.unavailable;
  readonly port: number;
  readonly taken: boolean;
  /** The process that has the port, as far as this user may see it. */
  readonly holder: string | undefined;
  constructor(port: number, holder: string | undefined, cause: unknown) {
    const taken = systemCode(cause) === "EADDRINUSE";
    const by = holder === undefined ? "another process" : holder;
    const why = taken
      ? `${by} already listens there; end it, or set statusPort in PROXY_CONFIG to a free port`
      : "the port cannot be opened; set statusPort in PROXY_CONFIG to one that this user may open";
    super(`listen on status port ${String(port)}: ${why}`, { cause });
    this.port = port;
    this.taken = taken;
    this.holder = holder;
  }
}
