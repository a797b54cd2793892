// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** Traffic interception could not be set up, or not be removed. The message says what was attempted, and what to do. */
export class InterceptionError extends AgentError {
  readonly code = "AGENT_INTERCEPTION";
  override readonly exitCode: number = exitCode.failed;
}

/** Test connections did not reach Envoy's ports. */
export class NotCapturedError extends InterceptionError {
  override readonly exitCode = exitCode.notCaptured;
}
