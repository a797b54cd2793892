// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { type Command, type CommandContext, type CommandTable, type Example, UsageError } from "../command.ts";

export const command: Command = {
  summary: "show help for a command",
  usage: "[COMMAND]",
  examples: [
    { line: "attache help", meaning: "all commands" },
    { line: "attache help wait", meaning: "flags, examples and exit codes of one" },
  ],
  exitCodes: [[0, "printed"]],
  run,
};

async function run({ args, print, programName, commands }: CommandContext): Promise<number> {
  const [name] = args;
  const found = name === undefined ? undefined : await commands.find(name);
  if (name !== undefined && found === undefined) {
    const hint = suggestion(name, commands.names);
    throw new UsageError(
      "help",
      `unknown command ${JSON.stringify(name)} for ${JSON.stringify(programName)}${hint}; run '${programName} --help' for usage`,
    );
  }
  print(
    found === undefined || name === undefined
      ? await renderOverview(programName, commands)
      : renderCommand(programName, name, found),
  );
  return exitCode.ok;
}

async function renderOverview(programName: string, table: CommandTable): Promise<string> {
  const commands = [...(await table.readAll())].map(([name, { summary }]): [string, string] => [name, summary]);
  return [
    "attache runs and serves an Envoy sidecar: bootstrap, certificates over SDS, xDS, probes, metrics and graceful shutdown.\n",
    `Usage:\n  ${programName} COMMAND [FLAGS]\n`,
    `Commands:\n${columns(commands.sort(([a], [b]) => (a < b ? -1 : 1)))}`,
    `Global flags:\n${flagLines(globalFlags)}`,
    `Use '${programName} COMMAND --help' for more information about a command.\n`,
  ].join("\n");
}

function renderCommand(programName: string, name: string, command: Command): string {
  const { summary, usage, flags, note, examples, exitCodes } = command;
  const flagsMark = flags === undefined || usage?.includes("[FLAGS]") === true ? undefined : "[FLAGS]";
  const words = [...(programName === name ? [] : [programName]), name, usage, flagsMark].filter(
    (word) => word !== undefined,
  );
  const parts = [`${summary}\n`, `Usage:\n  ${words.join(" ")}\n`];
  parts.push(...flagParts(flags ?? {}));
  if (note !== undefined) parts.push(`${note}\n`);
  parts.push(`Examples:\n${examples.map((example) => exampleLines(programName, name, example)).join("")}`);
  parts.push(`Exit codes:\n${columns([...exitCodes, wrongUsage].map(([code, text]) => [String(code), text]))}`);
  return parts.join("\n");
}

const wrongUsage = [exitCode.configuration, "wrong flags, arguments or configuration"] as const;

/** A command's own flags come first. */
function flagParts(flags: FlagSpecs): readonly string[] {
  const [own, shared] = [false, true].map((isShared) =>
    Object.fromEntries(Object.entries(flags).filter(([name]) => Object.hasOwn(globalFlags, name) === isShared)),
  );
  const parts = [["Flags", own ?? {}] as const, ["Global flags", shared ?? {}] as const];
  return parts.flatMap(([title, list]) => (Object.keys(list).length === 0 ? [] : [`${title}:\n${flagLines(list)}`]));
}

/** Examples are written for the usual name of the program. */
function exampleLines(programName: string, command: string, { line, meaning }: Example): string {
  const own = programName === command ? "" : `${programName} `;
  return `  # ${meaning}\n  ${line.replace(/^attache /, own)}\n`;
}

function flagLines(flags: FlagSpecs): string {
  return columns(
    Object.entries(flags).map(([name, { type, short, meaning, default: fallback }]) => [
      `${short === undefined ? "    " : `-${short}, `}--${name}${type === "bool" ? "" : ` ${type}`}`,
      fallback === "" || fallback === "false" ? meaning : `${meaning} (default ${fallback})`,
    ]),
  );
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}
