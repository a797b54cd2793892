// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { AgentConfig } from "../config/agent-config.ts";
import type { Clock } from "../lib/async/clock.ts";
import type { Deps } from "../lib/deps.ts";
import type { LogBudgets } from "../lib/log/log-limits.ts";
import type { LogReopenFailure } from "../lib/log/log-writer.ts";
import type { LogLevelSwitch, Logger } from "../lib/log/log.ts";
import type { JsonValue } from "../lib/json.ts";
import type { Budgets } from "../model/limits.ts";

/** The dependencies that the command line passes to the agent, and that tests replace. */
export interface AgentDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Reads the configuration again, from the same flags and variables and from the files as they are now. */
  readonly readConfig: () => Promise<AgentConfig>;
  readonly logLevels: LogLevelSwitch;
  /** Replaces the values of fields whose names mark them as secret. */
  readonly redact: (value: JsonValue) => JsonValue;
  /** Opens the log files again by their paths. @returns the files that stay as they are, with the reason */
  readonly reopenLog: () => readonly LogReopenFailure[];
  /** Counts what the log holds against budgets. */
  readonly limitLog: (budgets: LogBudgets) => void;
}

/** The dependencies of every module: `fail` shuts the agent down with the error of a module whose server failed. */
export interface ModuleDeps extends AgentDeps, Deps {
  readonly budgets: Budgets;
  /** Whether a connection to a Unix socket of the agent is Envoy's; also true where that cannot be known. */
  readonly isEnvoy: (socket: Socket) => boolean;
}

export interface AgentSignals {
  /** Aborts when the agent is to shut down: a signal, or an uncaught fault. */
  readonly stop: AbortSignal;
  /** Aborts when the agent is to exit at once: a second signal. */
  readonly force: AbortSignal;
  /** The first uncaught fault of the process; undefined while there was none. */
  readonly fault: () => Error | undefined;
  /** Sets the listener that is called with each uncaught fault, earlier ones included. */
  readonly onFault: (listener: (fault: Error) => void) => void;
  /** Sets the listener that SIGHUP calls. */
  readonly onHangup: (listener: () => void) => void;
  /** Sets the listener that SIGUSR2 calls: renews the workload certificate. */
  readonly onRenew: (listener: () => void) => void;
  /** Sets the listener that SIGUSR1 calls: the log files were renamed. */
  readonly onReopenLogs: (listener: () => void) => void;
}

/** The result of a run of the agent. */
export interface AgentExit {
  /** Envoy's exit code, 128 + the signal that killed it, or 0 after an orderly shutdown. docs/exit-codes.md */
  readonly code: number;
  /** One line: why Envoy or the agent exited, and what to do about it. */
  readonly reason: string;
}
