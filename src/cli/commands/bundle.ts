// SPDX-License-Identifier: Apache-2.0
import { isatty } from "node:tty";
import type { Bundle, ProgressPart } from "../../diagnosis/bundle/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { addressFlags, agentUrl } from "../agent-address.ts";
import { userEnvironment } from "../launcher-environment.ts";
import { type Command, type CommandContext, parseCommandFlags, UsageError } from "../command.ts";
import { outputFlags, readOutputFormat, renderOutput } from "../output/output-format.ts";

const ownFlags = {
  file: {
    type: "string",
    default: "",
    meaning:
      "path of the archive, or - for standard output; if empty, attache-bundle-POD-TIME.tar.gz in this directory",
  },
  "max-size": { type: "string", default: "64MiB", meaning: "most that all files take before they are compressed" },
  ...addressFlags,
  ...outputFlags,
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "collect what a bug report needs in one archive, without secrets",
  usage: "[FLAGS]",
  flags: ownFlags,
  note: "Works without a running agent too. With --address, nothing of this machine is collected.",
  examples: [
    { line: "attache bundle", meaning: "in the container of the sidecar: an archive in the current directory" },
    {
      line: "attache bundle --file - > bundle.tar.gz",
      meaning: "where the file system is read-only, as with kubectl exec",
    },
  ],
  exitCodes: [
    [0, "the archive was written; its manifest says what is missing"],
    [1, "the archive could not be written or has nothing in it, or the command was stopped"],
  ],
  run,
};

async function run({ args, env, print, printError, stop }: CommandContext): Promise<number> {
  const { values, positionals } = parseCommandFlags("bundle", args, ownFlags);
  const [word] = positionals;
  if (word !== undefined) throw new UsageError("bundle", `unexpected argument ${JSON.stringify(word)}`);
  const { file, address } = values;
  const format = readOutputFormat("bundle", values);
  if (file === "-") checkStandardOutput(format);
  const maxBytes = parseSize(values["max-size"]);
  const url = await agentUrl("bundle", address, env);
  const [{ runBundle }, { chooseJudgedAgent, hostPortOf }] = await Promise.all([
    import("../../diagnosis/bundle/index.ts"),
    import("../../diagnosis/doctor/index.ts"),
  ]);
  const isRemote = address !== "";
  const given = { env, args: [], status: hostPortOf(url), withoutLauncher: userEnvironment };
  const judged = isRemote ? undefined : await chooseJudgedAgent(given);
  const agentEnv = judged?.env ?? env;
  const folder = process.cwd();
  // Paths of the configuration are relative to the agent's working directory.
  if (judged !== undefined && judged.directory !== folder) process.chdir(judged.directory);
  const bundle = await runBundle(
    {
      env: agentEnv,
      args: judged?.args ?? [],
      judged,
      url,
      isRemote,
      file,
      folder,
      maxBytes,
      explain: async (proxyArgs, signal) => {
        const { explainConfiguration } = await import("../explain/run-explain.ts");
        return await explainConfiguration({ env: agentEnv, args: proxyArgs, stop: signal });
      },
      print,
      onPart: (part) => {
        if (part.status !== "skipped" && !stop.aborted) printError(renderProgress(part));
      },
    },
    systemClock,
    stop,
  );
  if (file === "-") printError(renderResult(bundle));
  else print(await renderOutput(format, bundle, () => renderResult(bundle)));
  const isEmpty = bundle.manifest.parts.every(({ status }) => status !== "complete");
  return isEmpty ? exitCode.failed : exitCode.ok;
}

function checkStandardOutput(format: string): void {
  if (format !== "text") {
    throw new UsageError("bundle", "--output describes the archive on standard output, where --file - writes it");
  }
  if (isatty(1)) {
    throw new UsageError("bundle", "the archive is not written to a terminal; redirect it: --file - > bundle.tar.gz");
  }
}

const units: Readonly<Record<string, number>> = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
const least = 64 * 1024;
const most = 4 * 2 ** 30;

function parseSize(text: string): number {
  const [, number = "", unit = ""] = /^(\d{1,12})([kmg]?)(?:i?b)?$/i.exec(text) ?? [];
  const bytes = Number(number) * (units[unit.toLowerCase()] ?? 1);
  if (number === "" || bytes < least || bytes > most) {
    throw new UsageError(
      "bundle",
      `--max-size: ${JSON.stringify(text)} is not a size from 64KiB to 4GiB, such as 64MiB`,
    );
  }
  return bytes;
}

function renderProgress({ file, status, reason, bytes, seconds }: ProgressPart): string {
  const what =
    status === "complete" ? `${renderSize(bytes)} in ${String(seconds)} s` : `${status} after ${String(seconds)} s`;
  return `${file.padEnd(32)} ${what}${reason === "" ? "" : `: ${escapeControls(reason)}`}\n`;
}

function renderResult({ file, bytes, manifest }: Bundle): string {
  const { parts, removed, agent } = manifest;
  const missing = parts.filter(({ status }) => status === "failed" || status === "cut").length;
  const count = Object.values(removed).reduce((sum, one) => sum + one, 0);
  const where = file === "-" ? "The archive is on standard output" : `Wrote ${file}`;
  const lines = [
    `${where}: ${renderSize(bytes)}, ${String(parts.filter((part) => part.bytes > 0).length)} parts, ${String(missing)} missing or not complete.`,
    ...(agent.responded ? [] : [`No agent responded at ${agent.address}: the archive has what can be had without it.`]),
    `${String(count)} values were removed. Before you share it, read README.txt in it: names of services and hosts, and IP addresses, are kept.`,
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function renderSize(bytes: number): string {
  if (bytes < 1024) return `${String(bytes)} bytes`;
  const kilo = bytes / 1024;
  return kilo < 1024 ? `${kilo.toFixed(1)} KiB` : `${(kilo / 1024).toFixed(1)} MiB`;
}
