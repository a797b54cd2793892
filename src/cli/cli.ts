// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import type { Command, CommandContext } from "./command.ts";
import { exitCodeOf } from "../agent/error-exit-code.ts";

/** What the process hands in: the words after the program, and the rest of a command's context. */
export type CliInput = Omit<CommandContext, "args" | "programName"> & { readonly argv: readonly string[] };

type CommandModule = { readonly command: Command };

/** Each command is a module of its own, loaded when it is asked for. */
const commands: Readonly<Record<string, () => Promise<CommandModule>>> = {
  proxy: () => import("./commands/proxy.ts"),
  ca: () => import("./commands/ca.ts"),
  completion: () => import("./commands/completion.ts"),
  dev: () => import("./commands/dev.ts"),
  exec: () => import("./commands/exec.ts"),
  explain: () => import("./commands/explain.ts"),
  help: () => import("./commands/help.ts"),
  request: () => import("./commands/request.ts"),
  version: () => import("./commands/version.ts"),
  wait: () => import("./commands/wait.ts"),
};

/** What the launcher tells: the name under which it was called, and which variables are its own. */
const launcherVariables = { programName: "ATTACHE_PROGRAM_NAME", added: "ATTACHE_LAUNCHER_ENV" } as const;

/**
 * Runs one command.
 * @returns the exit code of the process; what went wrong has been said on the error output, once, on one line
 */
export async function runCli(input: CliInput): Promise<number> {
  const { argv, ...context } = input;
  const { programName, env } = withoutLauncher(context.env);
  const [name, args] = chooseCommand(argv);
  try {
    const load = commands[name] ?? commands["help"];
    if (load === undefined) throw new Error("the help command is missing");
    const { command } = await load();
    return await command.run({ ...context, env, args, programName });
  } catch (error) {
    input.printError(`Error: ${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}

/**
 * The command and its words. Without a command, or where help is asked for, it is `help`, which also answers for
 * names that do not exist.
 */
function chooseCommand(argv: readonly string[]): [string, readonly string[]] {
  const [first, ...rest] = argv;
  if (first === undefined || first.startsWith("-")) return ["help", []];
  const end = rest.indexOf("--");
  const ours = end < 0 ? rest : rest.slice(0, end);
  if (ours.some((word) => word === "-h" || word === "--help")) return ["help", [first]];
  return first in commands ? [first, rest] : ["help", argv];
}

/** The environment as the user gave it: without what the launcher put in for this process alone. */
function withoutLauncher(env: Readonly<Record<string, string>>): Pick<CommandContext, "programName" | "env"> {
  const added = env[launcherVariables.added]?.split(" ") ?? [];
  const ours = new Set<string>([...Object.values(launcherVariables), ...added]);
  return {
    programName: env[launcherVariables.programName] ?? "attache",
    env: Object.fromEntries(Object.entries(env).filter(([name]) => !ours.has(name))),
  };
}
