// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { type Command, type CommandContext, type CommandTable, parseCommandFlags, UsageError } from "../command.ts";
import { type CompletionTree, renderers } from "../completion-scripts.ts";

const flags = {
  ...globalFlags,
  "no-descriptions": { type: "bool", default: "false", meaning: "omit descriptions" },
} as const satisfies FlagSpecs;

const shells = Object.keys(renderers);

export const command: Command = {
  summary: "print a shell completion script",
  usage: shells.join("|"),
  words: shells,
  flags,
  examples: [
    { line: "attache completion bash > attache.bash && . ./attache.bash", meaning: "completion in this shell" },
    { line: "attache completion fish --no-descriptions", meaning: "the script for fish, without descriptions" },
  ],
  exitCodes: [[0, "printed"]],
  run,
};

/** Without a shell it prints the command's help. */
async function run(context: CommandContext): Promise<number> {
  const { args, print, programName, commands } = context;
  const { values, positionals } = parseCommandFlags("completion", args, flags);
  const [shell] = positionals;
  if (shell === undefined) {
    const help = await commands.find("help");
    return (await help?.run({ ...context, args: ["completion"] })) ?? exitCode.ok;
  }
  const render = Object.hasOwn(renderers, shell) ? renderers[shell] : undefined;
  if (render === undefined) {
    const hint = `${JSON.stringify(shell)}${suggestion(shell, shells)}`;
    throw new UsageError("completion", `unknown shell ${hint}; use one of ${shells.join(", ")}`);
  }
  print(render(programName, await readTree(commands, !values["no-descriptions"])));
  return exitCode.ok;
}

async function readTree(table: CommandTable, described: boolean): Promise<CompletionTree> {
  const commands = [...(await table.readAll())];
  return commands.map(([name, { summary, words = [], flags: own = globalFlags }]) => ({
    name,
    meaning: described ? summary : "",
    words: name === "help" ? table.names : words,
    flags: Object.entries(own).map(([flag, { meaning, short, values = [] }]) => ({
      name: `--${flag}`,
      short: short === undefined ? undefined : `-${short}`,
      meaning: described ? meaning : "",
      values,
    })),
  }));
}
