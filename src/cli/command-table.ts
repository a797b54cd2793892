// SPDX-License-Identifier: Apache-2.0
import type { Command } from "./command.ts";

/** Each command is a module of its own, loaded when it is asked for. */
const modules: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
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

export const commandNames: readonly string[] = Object.keys(modules);

/** The command of a name; undefined when there is none. */
export async function findCommand(name: string): Promise<Command | undefined> {
  return Object.hasOwn(modules, name) ? (await modules[name]?.())?.command : undefined;
}

/** All commands: for the help and for completion. */
export async function readCommands(): Promise<ReadonlyMap<string, Command>> {
  const entries = await Promise.all(commandNames.map(async (name) => [name, await findCommand(name)] as const));
  return new Map(entries.flatMap(([name, command]) => (command === undefined ? [] : [[name, command] as const])));
}
