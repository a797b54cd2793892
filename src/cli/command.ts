// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { type FlagSpecs, type ParsedFlags, parseFlags } from "../lib/flags.ts";
import { suggestion } from "../lib/nearest-name.ts";

/** Everything that a command gets from the process. */
export interface CommandContext {
  /** The arguments after the command's name. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The name that the program was started under: `attache` or `pilot-agent`. */
  readonly programName: string;
  /** All commands, for help and completion. */
  readonly commands: CommandTable;
  /** Prints what the command is for. @throws OutputError */
  readonly print: (text: string | Uint8Array) => void;
  /** Whether a print has found that the reader of the output is gone. */
  readonly isOutputClosed?: () => boolean;
  readonly printError: (text: string) => void;
  /** Aborts at the first SIGTERM, SIGINT or SIGQUIT, and at an uncaught fault. */
  readonly stop: AbortSignal;
  /** Aborts at the second signal: exit at once. */
  readonly force: AbortSignal;
  /** The first uncaught fault of the process; undefined while there was none. */
  readonly fault: () => Error | undefined;
  /** Sets the listener that is called with each uncaught fault. The first listener gets earlier faults too. */
  readonly onFault: (listener: (fault: Error) => void) => void;
  /** Sets the listener that SIGHUP calls. Without one, SIGHUP does nothing. */
  readonly onHangup: (listener: () => void) => void;
  /** Sets the listener that SIGUSR2 calls. Without one, SIGUSR2 does nothing. */
  readonly onRenew: (listener: () => void) => void;
  /** Sets the listener that SIGUSR1 calls; a signal from before the first listener counts. */
  readonly onReopenLogs: (listener: () => void) => void;
}

/** A command line that a user can copy, and what it is for. The tests run each. */
export interface Example {
  readonly line: string;
  readonly meaning: string;
}

/** A subcommand. Its module is loaded only when it runs. */
export interface Command {
  readonly summary: string;
  /** What follows the name in the help: `METHOD PATH [BODY]`. */
  readonly usage?: string;
  /** What the first word after the name may be, for completion. */
  readonly words?: readonly string[];
  /** For help and completion. */
  readonly flags?: FlagSpecs;
  /** Two or more. */
  readonly examples: readonly Example[];
  /** Each exit code with its meaning, except 64 for wrong usage, which all have. */
  readonly exitCodes: readonly (readonly [number | string, string])[];
  /** The last lines of the help. */
  readonly note?: string;
  /** @returns the exit code @throws AgentError with a message for the user */
  run(context: CommandContext): Promise<number>;
}

/** The commands by name. */
export interface CommandTable {
  readonly names: readonly string[];
  /** Loads one command; undefined when there is none of that name. */
  find(name: string): Promise<Command | undefined>;
  /** Loads all commands. */
  readAll(): Promise<ReadonlyMap<string, Command>>;
}

/** The output of a command could not be written: a full disk, for example. Its reader must not take it for complete. */
export class OutputError extends AgentError {
  readonly code = "AGENT_OUTPUT";
  override readonly exitCode = exitCode.failed;
  constructor(cause: unknown) {
    super("write to standard output", { cause });
  }
}

/** A signal has ended a command before it was done. */
export class StoppedError extends AgentError {
  readonly code = "AGENT_STOPPED";
  override readonly exitCode = exitCode.failed;
  constructor(cause: unknown) {
    super("stopped", { cause });
  }
}

/** A command was called with arguments that it does not take. */
export class UsageError extends AgentError {
  readonly code = "AGENT_USAGE";
  override readonly exitCode = exitCode.configuration;
  /** @param known flags to list in the message */
  constructor(command: string, problem: string, known: readonly string[] = []) {
    const flags = known.length === 0 ? "" : `; flags: ${known.map((name) => `--${name}`).join(", ")}`;
    super(`attache ${command}: ${problem}${flags}`);
  }
}

/**
 * Parses a command's arguments. An unknown flag is an error.
 * @throws UsageError
 */
export function parseCommandFlags<S extends FlagSpecs>(
  command: string,
  args: readonly string[],
  specs: S,
): ParsedFlags<S> {
  const parsed = parseFlags(args, specs);
  const [unknown] = parsed.unknown;
  if (unknown !== undefined) throw new UsageError(command, unknown.message);
  const [problem] = parsed.problems;
  if (problem !== undefined) throw new UsageError(command, `${problem.flag}: ${problem.message}`);
  assertKnownValues(command, specs, parsed);
  return parsed;
}

/** A value that the flag does not take would look like one that nothing matches. Letter case does not count. */
function assertKnownValues<S extends FlagSpecs>(command: string, specs: S, { values, given }: ParsedFlags<S>): void {
  for (const name of given) {
    const known = specs[name]?.values ?? [];
    const value = String(values[name]);
    if (known.length === 0 || known.some((one) => one.toLowerCase() === value.toLowerCase())) continue;
    const hint = suggestion(value, known);
    throw new UsageError(command, `--${name}: ${JSON.stringify(value)} is not one of ${known.join(", ")}${hint}`);
  }
}
