// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";

/** A resource file is wrong; Envoy never sees it. */
export class ResourceProblem extends AgentError {
  readonly code = "AGENT_XDS_RESOURCE";
  override readonly exitCode = exitCode.configuration;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  constructor(file: string, line: number, problem: string, cause?: unknown) {
    super(`${file}:${String(line)}: ${problem}`, { cause });
    this.file = file;
    this.line = line;
  }
}
