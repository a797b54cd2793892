// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { revision, version } from "../../model/version.ts";
import { type Command, type CommandContext, parseCommandFlags, UsageError } from "../command.ts";

const flags = {
  ...globalFlags,
  short: { type: "bool", default: "false", meaning: "print only the version", short: "s" },
  output: { type: "string", default: "", meaning: "output format: json or yaml", short: "o" },
} as const satisfies FlagSpecs;

export const command: Command = { summary: "print version and build information", flags, run };

/** Source: the output of pilot-agent, which tools parse. `golang_version` holds the version of Node. */
function run({ args, print }: CommandContext): Promise<number> {
  const { values } = parseCommandFlags("version", args, flags);
  const build = {
    version,
    revision,
    golang_version: `node ${process.versions.node}`,
    status: revision === "unknown" ? "Unknown" : "Clean",
    tag: version,
  };
  switch (values.output) {
    case "json":
      print(`${JSON.stringify({ clientVersion: build }, undefined, 2)}\n`);
      break;
    case "yaml":
      print(`clientVersion:\n${yamlLines(build)}\n`);
      break;
    case "":
      print(values.short ? `client version: ${version}\n` : `client version: ${longForm(build)}\n`);
      break;
    default:
      throw new UsageError("version", "--output must be 'yaml' or 'json'");
  }
  return Promise.resolve(exitCode.ok);
}

type Build = Readonly<Record<"version" | "revision" | "golang_version" | "status" | "tag", string>>;

function longForm(build: Build): string {
  const fields = [
    ["Version", build.version],
    ["GitRevision", build.revision],
    ["GolangVersion", build.golang_version],
    ["BuildStatus", build.status],
    ["GitTag", build.tag],
  ] as const;
  return `version.BuildInfo{${fields.map(([name, text]) => `${name}:${JSON.stringify(text)}`).join(", ")}}`;
}

function yamlLines(build: Build): string {
  const lines = Object.entries(build).map(
    ([name, text]) => `  ${name}: ${/^[\w. -]*$/.test(text) ? text : JSON.stringify(text)}\n`,
  );
  return lines.sort().join("");
}
