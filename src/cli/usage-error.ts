// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** A command was called with words that it does not take. */
export class UsageError extends AgentError {
  readonly code = "AGENT_USAGE";
  override readonly exitCode = exitCode.configuration;
  /** @param known flags to name in the message */
  constructor(command: string, problem: string, known: readonly string[] = []) {
    const flags = known.length === 0 ? "" : `; flags: ${known.map((name) => `--${name}`).join(", ")}`;
    super(`attache ${command}: ${problem}${flags}`);
  }
}
