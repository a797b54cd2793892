// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** A file of the folder with Envoy's resources cannot be used. */
export class DevResourceError extends AgentError {
  readonly code = "AGENT_DEV_RESOURCE";
  override readonly exitCode = exitCode.configuration;
  readonly path: string;
  readonly problem: string;
  /** From 1; undefined when it is not about one line. */
  readonly line: number | undefined;
  constructor(
    path: string,
    problem: string,
    { line, cause }: { readonly line?: number; readonly cause?: unknown } = {},
  ) {
    const place = line === undefined ? path : `${path}:${String(line)}`;
    super(`read Envoy resources from ${place}: ${problem}`, { cause });
    this.path = path;
    this.problem = problem;
    this.line = line;
  }
}

/** The directory to work in cannot be made, or holds what is not this command's own. */
export class DevDirectoryError extends AgentError {
  readonly code = "AGENT_DEV_DIRECTORY";
  override readonly exitCode = exitCode.unavailable;
  readonly path: string;
  constructor(path: string, problem: string, cause?: unknown) {
    super(`work in ${path}: ${problem}`, { cause });
    this.path = path;
  }
}

/** There is no Envoy to run. */
export class DevEnvoyMissingError extends AgentError {
  readonly code = "AGENT_ENVOY_MISSING";
  override readonly exitCode = exitCode.unavailable;
  readonly tried: readonly string[];
  constructor(tried: readonly string[]) {
    super(
      `find Envoy: none at ${tried.join(", ")}; set ENVOY_PATH to an Envoy binary; in a clone, \`npm start\` installs one`,
    );
    this.tried = tried;
  }
}

/** An agent of the mesh ended though nobody asked it to. */
export class DevAgentEndedError extends AgentError {
  readonly code = "AGENT_DEV_AGENT_ENDED";
  override readonly exitCode = exitCode.failed;
  readonly workload: string;
  readonly logPath: string;
  constructor(workload: string, how: string, logPath: string) {
    super(`run the agent of ${workload}: it ended by itself with ${how}; its log is ${logPath}`);
    this.workload = workload;
    this.logPath = logPath;
  }
}
