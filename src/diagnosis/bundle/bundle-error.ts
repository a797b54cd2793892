// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";

/** The archive could not be written. */
export class BundleError extends AgentError {
  readonly code = "AGENT_BUNDLE";
  override readonly exitCode = exitCode.failed;
}
