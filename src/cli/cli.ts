// SPDX-License-Identifier: Apache-2.0
import { ConfigError, type ConfigProblem } from "../config/config-error.ts";
import { globalFlags } from "../config/sources/flags.ts";
import { systemClock } from "../lib/async/clock.ts";
import { AgentError, describeError, exitCodeOf } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import { parseFlags } from "../lib/flags.ts";
import { renderLogTime } from "../lib/log/log-format.ts";
import { escapeControls } from "../lib/printable-text.ts";
import { type CommandContext, StoppedError } from "./command.ts";
import { commandTable } from "./command-table.ts";
import { withoutLauncher } from "./launcher-environment.ts";

/** What the process passes in: the arguments after the program, and the rest of a command's context. */
export type CliInput = Omit<CommandContext, "args" | "programName" | "commands"> & { readonly argv: readonly string[] };

/** Started under this name, the program is the command of this name, as a link in Istio's older images is. */
const interceptionProgram = "istio-iptables";

/**
 * Runs one command.
 * @returns the exit code of the process. An error has been printed on standard error, once, on one line.
 */
export async function runCli(input: CliInput): Promise<number> {
  const { argv, ...context } = input;
  const { programName, env } = withoutLauncher(context.env);
  const [name, args] = chooseCommand(programName === interceptionProgram ? [interceptionProgram, ...argv] : argv);
  const asJson = parseFlags(argv, globalFlags).values.log_as_json;
  const printError = (error: unknown): void => {
    input.printError(renderError(error, asJson));
  };
  input.onFault(printError);
  try {
    const command = await commandTable.find(name);
    if (command === undefined) throw new Error(`the command ${name} is missing`);
    const code = await command.run({ ...context, env, args, programName, commands: commandTable });
    const fault = input.fault();
    return code === exitCode.ok && fault !== undefined ? exitCodeOf(fault) : code;
  } catch (error) {
    const { stop } = input;
    const shown = stop.aborted && error === stop.reason ? new StoppedError(error) : error;
    printError(shown);
    return exitCodeOf(shown);
  }
}

/**
 * One line; of an invalid configuration, one line for each problem, and before them one for each warning. With
 * `--log_as_json`, in the form of the log. A peer's text in it cannot control the terminal.
 */
function renderError(error: unknown, asJson: boolean): string {
  const lineOf = ({ source, message }: ConfigProblem): string => `configuration: ${source}: ${message}`;
  const [warnings, messages] =
    error instanceof ConfigError
      ? [error.warnings.map(lineOf), error.problems.map(lineOf)]
      : [[], [describeError(error)]];
  if (!asJson) {
    const lines = [...warnings.map((text) => `Warning: ${text}`), ...messages.map((text) => `Error: ${text}`)];
    return lines.map((line) => `${escapeControls(line)}\n`).join("");
  }
  const time = renderLogTime(systemClock.now());
  const facts = { ...(error instanceof AgentError ? { errorCode: error.code } : {}), exitCode: exitCodeOf(error) };
  const lines = [
    ...warnings.map((msg) => ({ level: "warn", time, msg })),
    ...messages.map((msg) => ({ level: "error", time, msg, ...facts })),
  ];
  return lines.map((line) => `${escapeControls(JSON.stringify(line))}\n`).join("");
}

/**
 * The command's name and its arguments. Flags of every command may precede the name. Without a name, with `--help` and
 * for an unknown name it is `help`.
 */
function chooseCommand(argv: readonly string[]): [string, readonly string[]] {
  const [first, ...rest] = argv;
  if (first === "--version" || first === "-v") return ["version", rest];
  if (first?.startsWith("-") === true) {
    const command = argv.findIndex((word) => commandTable.names.includes(word));
    const before = parseFlags(argv.slice(0, Math.max(command, 0)), globalFlags);
    const name = argv[command];
    const global = before.unknown.length + before.problems.length + before.positionals.length === 0;
    return name === undefined || !global
      ? ["help", []]
      : chooseCommand([name, ...argv.slice(0, command), ...argv.slice(command + 1)]);
  }
  if (first === undefined) return ["help", []];
  const end = rest.indexOf("--");
  const ours = end < 0 ? rest : rest.slice(0, end);
  if (ours.some((word) => word === "-h" || word === "--help")) return ["help", [first]];
  return commandTable.names.includes(first) ? [first, rest] : ["help", argv];
}
