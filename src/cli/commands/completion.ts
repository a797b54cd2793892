// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { AgentClient } from "../../diagnosis/agent-client.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { agentUrl } from "../agent-address.ts";
import { type Command, type CommandContext, type CommandTable, parseCommandFlags, UsageError } from "../command.ts";
import { type CompletionTree, renderers } from "../completion-scripts.ts";

const flags = {
  ...globalFlags,
  "no-descriptions": { type: "bool", default: "false", meaning: "omit descriptions" },
  lookup: {
    type: "string",
    default: "",
    meaning: "print the names that a running agent knows, a line each; the scripts call it: clusters",
    values: ["clusters"],
  },
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
  if (values.lookup !== "") {
    print(await lookUp(values.lookup, context));
    return exitCode.ok;
  }
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

/** One name on each line. Without an agent there are none, and no error: the user is typing. */
async function lookUp(kind: string, { env, stop }: CommandContext): Promise<string> {
  if (kind !== "clusters") throw new UsageError("completion", `--lookup: ${JSON.stringify(kind)} is not clusters`);
  const { readClusterNames } = await import("../../diagnosis/cluster-names.ts");
  const names = await readClusterNames(new AgentClient(await agentUrl("completion", "", env), systemClock), stop);
  return names.map((name) => `${name}\n`).join("");
}

async function readTree(table: CommandTable, described: boolean): Promise<CompletionTree> {
  const commands = [...(await table.readAll())];
  return commands.map(([name, { summary, words = [], flags: own = globalFlags }]) => ({
    name,
    meaning: described ? summary : "",
    words: name === "help" ? table.names : words,
    flags: Object.entries(own).map(([flag, { meaning, short, lookup, values = [] }]) => ({
      name: `--${flag}`,
      short: short === undefined ? undefined : `-${short}`,
      meaning: described ? meaning : "",
      values,
      lookup,
    })),
  }));
}
