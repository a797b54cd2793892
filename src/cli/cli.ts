// SPDX-License-Identifier: Apache-2.0
import { ConfigError } from "../config/config-error.ts";
import { describeError, exitCodeOf } from "../lib/errors.ts";
import type { CommandContext } from "./command.ts";
import { commandNames, findCommand } from "./command-table.ts";
import { globalFlags } from "../config/sources/flags.ts";
import { parseFlags } from "../lib/flags.ts";

/** What the process hands in: the words after the program, and the rest of a command's context. */
export type CliInput = Omit<CommandContext, "args" | "programName"> & { readonly argv: readonly string[] };

/**
 * What the launcher tells: the name under which it was called, which variables are its own, and those that its shell
 * does not hand on.
 */
const launcherVariables = {
  programName: "ATTACHE_PROGRAM_NAME",
  added: "ATTACHE_LAUNCHER_ENV",
  lost: "ATTACHE_LAUNCHER_LOST",
} as const;

/**
 * Runs one command.
 * @returns the exit code of the process; what went wrong has been said on the error output, once, on one line
 */
export async function runCli(input: CliInput): Promise<number> {
  const { argv, ...context } = input;
  const { programName, env } = withoutLauncher(context.env);
  const [name, args] = chooseCommand(argv);
  try {
    const command = await findCommand(name);
    if (command === undefined) throw new Error(`the command ${name} is missing`);
    return await command.run({ ...context, env, args, programName });
  } catch (error) {
    input.printError(renderError(error));
    return exitCodeOf(error);
  }
}

/** One line; of a configuration, one for each thing that is wrong. */
function renderError(error: unknown): string {
  if (!(error instanceof ConfigError)) return `Error: ${describeError(error)}\n`;
  return error.problems.map(({ source, message }) => `Error: configuration: ${source}: ${message}\n`).join("");
}

/**
 * The command and its words; flags of every command may stand before it. Without a command, or where help is asked
 * for, it is `help`, which also answers for names that do not exist.
 */
function chooseCommand(argv: readonly string[]): [string, readonly string[]] {
  const [first, ...rest] = argv;
  if (first === "--version" || first === "-v") return ["version", rest];
  if (first?.startsWith("-") === true) {
    const command = argv.findIndex((word) => commandNames.includes(word));
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
  return commandNames.includes(first) ? [first, rest] : ["help", argv];
}

/** The environment as the user gave it: without what the launcher put in for this process alone. */
function withoutLauncher(env: Readonly<Record<string, string>>): Pick<CommandContext, "programName" | "env"> {
  const added = env[launcherVariables.added]?.split(" ") ?? [];
  const ours = new Set<string>([...Object.values(launcherVariables), ...added]);
  return {
    programName: env[launcherVariables.programName] ?? "attache",
    env: {
      ...Object.fromEntries(Object.entries(env).filter(([name]) => !ours.has(name))),
      ...parseEnvironment(Buffer.from(env[launcherVariables.lost] ?? "", "base64").toString()),
    },
  };
}

/** Variables in the system's form: `NAME=value`, each with a zero byte after it. */
function parseEnvironment(text: string): Readonly<Record<string, string>> {
  const entries = text.split("\u0000").filter((entry) => entry.includes("="));
  return Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]),
  );
}
