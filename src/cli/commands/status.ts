// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import type { PodStatus } from "../../diagnosis/status/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { addressFlags, agentUrl } from "../agent-address.ts";
import { type Command, type CommandContext, parseCommandFlags, UsageError } from "../command.ts";
import { renderFrame } from "../output/frame.ts";
import { type OutputFormat, outputFlags, readOutputFormat, renderOutput } from "../output/output-format.ts";
import { readTerminal } from "../output/terminal.ts";

const flags = {
  ...globalFlags,
  ...outputFlags,
  ...addressFlags,
  watch: {
    type: "bool",
    default: "false",
    short: "w",
    meaning: "go on until Ctrl-C: redraw a terminal once a second, write to a file or pipe what has changed",
  },
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "show whether the pod is ready and why, its configuration, certificate, peers and last errors",
  flags,
  examples: [
    { line: "attache status", meaning: "readiness with its cause, xDS types, certificate, versions, last errors" },
    { line: "attache status -o json", meaning: "the same for a program" },
    { line: "attache status --watch", meaning: "until Ctrl-C; on a pipe, a block for each change" },
  ],
  exitCodes: [
    [0, "ready; with --watch: ended by Ctrl-C"],
    [1, "not ready, Envoy does not respond, or no agent responded"],
  ],
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { args, env, print, stop } = context;
  const { values, positionals } = parseCommandFlags("status", args, flags);
  const [word] = positionals;
  if (word !== undefined) throw new UsageError("status", `unexpected ${JSON.stringify(word)}`);
  const format = readOutputFormat("status", values);
  const { AgentClient } = await import("../../diagnosis/agent-client.ts");
  const { readStatus } = await import("../../diagnosis/status/index.ts");
  const { readExitReport } = await import("../../diagnosis/exit-report.ts");
  const agent = new AgentClient(await agentUrl("status", values.address, env), systemClock);
  // the file is that of this container, and an address may be that of another
  const readExit = async (): Promise<string | undefined> =>
    values.address === "" ? await readExitReport(env, systemClock.now()) : undefined;
  const read = (signal: AbortSignal): Promise<PodStatus> => readStatus({ agent, readExit, clock: systemClock }, signal);
  if (values.watch) return await watch(read, format, context);
  const status = await read(stop);
  print(await render(status, format, env));
  return status.ready && status.envoyResponds ? exitCode.ok : exitCode.failed;
}

async function watch(
  read: (signal: AbortSignal) => Promise<PodStatus>,
  format: OutputFormat,
  { env, print, stop, isOutputClosed = () => false }: CommandContext,
): Promise<number> {
  const { watchStatus } = await import("../../diagnosis/status/index.ts");
  const { redraws } = readTerminal(env);
  const show = async (status: PodStatus, changed: boolean): Promise<void> => {
    if (format === "text" && redraws) {
      print(renderFrame(await render(status, format, env), readTerminal(env).rows));
    } else if (changed) print(await renderBlock(status, format, env));
  };
  await watchStatus({ read, show, isOver: isOutputClosed, clock: systemClock }, stop);
  return exitCode.ok;
}

/** One document for each change: JSON on a line of its own, YAML after a separator, text after its time. */
async function renderBlock(status: PodStatus, format: OutputFormat, env: CommandContext["env"]): Promise<string> {
  switch (format) {
    case "json":
      return `${JSON.stringify(status)}\n`;
    case "yaml":
      return `---\n${await render(status, format, env)}`;
    case "text":
      return `# ${status.now}\n${await render(status, format, env)}\n`;
  }
}

async function render(status: PodStatus, format: OutputFormat, env: CommandContext["env"]): Promise<string> {
  const { renderStatus } = await import("../../diagnosis/status/index.ts");
  return await renderOutput(format, status, () => renderStatus(status, readTerminal(env)));
}
