// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import type { Command, CommandContext } from "../command.ts";
import { parseCommandFlags } from "../command-flags.ts";
import { readCommands } from "../command-table.ts";
import { type CompletionTree, renderers } from "../completion-scripts.ts";
import { UsageError } from "../usage-error.ts";
import { command as help } from "./help.ts";

const flags = {
  ...globalFlags,
  "no-descriptions": { type: "bool", default: "false", meaning: "without the descriptions" },
} as const satisfies FlagSpecs;

const shells = Object.keys(renderers);

export const command: Command = {
  summary: "print a completion script for a shell",
  usage: shells.join("|"),
  flags,
  run,
};

/** Without a shell it is the help. */
async function run(context: CommandContext): Promise<number> {
  const { args, print, programName } = context;
  const { values, positionals } = parseCommandFlags("completion", args, flags);
  const [shell] = positionals;
  if (shell === undefined) return await help.run({ ...context, args: ["completion"] });
  const render = Object.hasOwn(renderers, shell) ? renderers[shell] : undefined;
  if (render === undefined) {
    const hint = `${JSON.stringify(shell)} is none${suggestion(shell, shells)}`;
    throw new UsageError("completion", `name a shell: ${shells.join(", ")}; ${hint}`);
  }
  print(render(programName, await readTree(!values["no-descriptions"])));
  return exitCode.ok;
}

async function readTree(described: boolean): Promise<CompletionTree> {
  const commands = [...(await readCommands())];
  return commands.map(([name, { summary, flags: own = globalFlags }]) => ({
    name,
    meaning: described ? summary : "",
    flags: Object.entries(own).map(([flag, { meaning }]) => ({ name: `--${flag}`, meaning: described ? meaning : "" })),
  }));
}
