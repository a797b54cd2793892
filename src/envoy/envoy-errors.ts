// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { describeExit, type EnvoyExit } from "./envoy-exit.ts";

export type EnvoyMissingReason = "absent" | "not-a-file" | "not-executable" | "exec-failed";

const missingAdvice: Readonly<Record<EnvoyMissingReason, string>> = {
  absent: `there is no such file; install Envoy there, or set its path: PROXY_CONFIG='{"binaryPath":"/path/of/envoy"}'`,
  "not-a-file": `it is not a file; set the path of Envoy's binary: PROXY_CONFIG='{"binaryPath":"/path/of/envoy"}'`,
  "not-executable": "it is not executable for this user; make it and the directories above it accessible (chmod a+rx)",
  "exec-failed": "the system cannot execute it; check that it is an Envoy built for this machine and not damaged",
};

/** There is no Envoy to run. */
export class EnvoyMissingError extends AgentError {
  readonly code = "AGENT_ENVOY_MISSING";
  override readonly exitCode = exitCode.unavailable;
  readonly binaryPath: string;
  readonly reason: EnvoyMissingReason;
  constructor(binaryPath: string, reason: EnvoyMissingReason, cause?: unknown) {
    super(`run Envoy at ${binaryPath}: ${missingAdvice[reason]}`, { cause });
    this.binaryPath = binaryPath;
    this.reason = reason;
  }
}

/** A port that another process listens on. */
export interface TakenPort {
  readonly port: number;
  /** The process that listens there, where this user may see it. */
  readonly holder: string | undefined;
  /** What moves the port; empty where only the configuration of Envoy does. */
  readonly setting: string;
}

/** `a port that another process listens on: 15021 (nginx (process 7)); stop it, or set … to a free port`. */
export function describeTakenPorts(taken: readonly TakenPort[]): string {
  const ports = taken.map(({ port, holder }) => `${String(port)} (${holder ?? "another process"})`).join(", ");
  const settings = [...new Set(taken.map(({ setting }) => setting).filter((setting) => setting !== ""))].join(", ");
  const [which, them, free] =
    taken.length === 1
      ? ["a port that another process listens on", "it", "a free port"]
      : ["ports that other processes listen on", "these processes", "free ports"];
  return `${which}: ${ports}; stop ${them}${settings === "" ? "" : `, or set ${settings} to ${free}`}`;
}

/** Envoy's listeners would share their ports with another process, which would get a part of the connections. Fatal. */
export class PortsTakenError extends AgentError {
  readonly code = "AGENT_PORTS_TAKEN";
  override readonly exitCode = exitCode.unavailable;
  readonly taken: readonly TakenPort[];
  constructor(taken: readonly TakenPort[]) {
    super(`listen on ${describeTakenPorts(taken)}`);
    this.taken = taken;
  }
}

/** Envoy exited while the agent waited for it. */
export class EnvoyExitedError extends AgentError {
  readonly code = "AGENT_ENVOY_EXITED";
  readonly exit: EnvoyExit;
  readonly afterMs: number;
  constructor(exit: EnvoyExit, afterMs: number) {
    super(
      `run Envoy: it exited with ${describeExit(exit)} ${String(Math.round(afterMs))} ms after its start; ` +
        "see the lines that Envoy logged before this one",
    );
    this.exit = exit;
    this.afterMs = afterMs;
  }
}

export type EnvoyAdminFailure = "unreachable" | "timeout" | "status" | "too-large" | "malformed";

/** A call to Envoy's admin interface failed. Retrying is the caller's decision. */
export class EnvoyAdminError extends AgentError {
  readonly code = "AGENT_ENVOY_ADMIN";
  readonly failure: EnvoyAdminFailure;
  /** Of the response; undefined when there was none. */
  readonly status: number | undefined;
  constructor(
    failure: EnvoyAdminFailure,
    call: string,
    { status, cause }: { readonly status?: number; readonly cause?: unknown } = {},
  ) {
    super(`call Envoy's admin interface ${call}: ${failure}${status === undefined ? "" : ` ${String(status)}`}`, {
      cause,
    });
    this.failure = failure;
    this.status = status;
  }
}
