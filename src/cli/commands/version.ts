// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { revision, version } from "../../model/version.ts";
import { type Command, type CommandContext, parseCommandFlags } from "../command.ts";

const flags = {
  ...globalFlags,
  short: { type: "bool", default: "false", meaning: "print only the version of attache", short: "s" },
  output: {
    type: "string",
    default: "text",
    meaning: "output format: text, json or yaml",
    short: "o",
    values: ["text", "json", "yaml"],
  },
  json: { type: "bool", default: "false", meaning: "the same as --output json" },
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "print version and build information",
  flags,
  examples: [
    { line: "attache version", meaning: "versions of attache, Envoy and Node.js, and of the protocols" },
    { line: "attache version --short", meaning: "the version alone, for scripts" },
  ],
  exitCodes: [[0, "printed"]],
  run,
};

/** Source of the fields and of the line: pilot-agent, whose output tools parse. `golang_version` holds that of Node. */
const build = {
  version,
  revision,
  golang_version: `node ${process.versions.node}`,
  status: revision === "unknown" ? "Unknown" : "Clean",
  tag: version,
};

async function run({ args, env, print, programName, stop }: CommandContext): Promise<number> {
  const { values } = parseCommandFlags("version", args, flags);
  const isText = values.output === "text" && !values.json;
  if (isText && (values.short || programName === "pilot-agent")) {
    print(values.short ? `client version: ${version}\n` : `client version: ${longForm()}\n`);
    return exitCode.ok;
  }
  const { readOutputFormat, renderOutput } = await import("../output/output-format.ts");
  const format = readOutputFormat("version", values);
  print(format === "text" ? await longText(env, stop) : await renderOutput(format, { clientVersion: build }, longForm));
  return exitCode.ok;
}

/** For a person. */
async function longText(env: CommandContext["env"], stop: AbortSignal): Promise<string> {
  const { readVersions, renderVersions } = await import("../../diagnosis/versions.ts");
  return renderVersions(await readVersions(await envoyPath(env, stop), stop));
}

/** The one that `attache proxy` would run here. */
async function envoyPath(env: CommandContext["env"], stop: AbortSignal): Promise<string> {
  const named = env["ENVOY_PATH"] ?? "";
  if (named !== "") return named;
  const { readConfigOf } = await import("../../diagnosis/read-config.ts");
  const { withInstalledEnvoy } = await import("../installed-envoy.ts");
  const { config } = await readConfigOf(env, [], stop);
  return (await withInstalledEnvoy(config, env)).envoy.binaryPath;
}

function longForm(): string {
  const fields = [
    ["Version", build.version],
    ["GitRevision", build.revision],
    ["GolangVersion", build.golang_version],
    ["BuildStatus", build.status],
    ["GitTag", build.tag],
  ] as const;
  return `version.BuildInfo{${fields.map(([name, text]) => `${name}:${JSON.stringify(text)}`).join(", ")}}`;
}
