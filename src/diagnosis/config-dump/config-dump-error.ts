// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";

/** A configuration could not be read from Envoy, from an agent or from a file. */
export class ConfigDumpError extends AgentError {
  readonly code = "AGENT_CONFIG_DUMP";
  override readonly exitCode = exitCode.failed;
  readonly failure: "unreachable" | "refused" | "malformed" | "too-large" | "missing";
  constructor(failure: ConfigDumpError["failure"], message: string, cause?: unknown) {
    super(message, { cause });
    this.failure = failure;
  }
}
