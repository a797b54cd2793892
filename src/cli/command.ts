// SPDX-License-Identifier: Apache-2.0
import type { FlagSpecs } from "../lib/flags.ts";

/** What a command gets of the process; nothing else of it is used. */
export interface CommandContext {
  /** The words after the command's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The name under which the program was started: `attache` or `pilot-agent`. */
  readonly programName: string;
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  /** Aborts at the first SIGTERM or SIGINT. */
  readonly stop: AbortSignal;
  /** Aborts at the second one: end at once. */
  readonly force: AbortSignal;
  /** What stopped the process, where that was a fault that nobody caught; else undefined. */
  readonly fault: () => unknown;
  /** Has SIGHUP call the listener; before, it does nothing. */
  readonly onHangup: (listener: () => void) => void;
}

/** One subcommand. Its module is loaded only when it is the one asked for. */
export interface Command {
  readonly summary: string;
  /** What follows the name, for the help: `METHOD PATH [BODY]`. */
  readonly usage?: string;
  /** For the help and for completion. */
  readonly flags?: FlagSpecs;
  /** @returns the exit code; throws AgentError for what the user must be told */
  run(context: CommandContext): Promise<number>;
}
