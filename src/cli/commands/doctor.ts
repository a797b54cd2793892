// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../../config/agent-config.ts";
import { proxyFlags } from "../../config/sources/flags.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { readStatusPort } from "../../config/sources/status-port.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { addressFlags, agentUrl } from "../agent-address.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";
import { withInstalledEnvoy } from "../installed-envoy.ts";
import { userEnvironment } from "../launcher-environment.ts";
import { outputFlags, readOutputFormat, renderOutput } from "../output/output-format.ts";
import { readTerminal } from "../output/terminal.ts";
import { splitArguments } from "../own-flags.ts";

/** Flags of `doctor`, in addition to those of `proxy`. */
const ownFlags = {
  ...outputFlags,
  ...addressFlags,
  pid: {
    type: "int",
    default: "0",
    meaning: "examine the agent with this process ID: its environment, flags and directory",
  },
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "find out what is wrong: configuration, identity, network, machine, Envoy and the running agent",
  usage: "[sidecar|router|waypoint] [FLAGS]",
  flags: { ...ownFlags, ...proxyFlags },
  words: ["sidecar", "router", "waypoint"],
  note: "Takes the flags and the environment of 'proxy', and starts and changes nothing.",
  examples: [
    { line: "attache doctor", meaning: "in the container of the sidecar: everything, failures first" },
    {
      line: "attache doctor --address localhost:15020 -o json",
      meaning: "of the agent at a forwarded port, for programs",
    },
  ],
  exitCodes: [
    [0, "nothing failed; there may be warnings"],
    [1, "a check failed"],
  ],
  run,
};

async function run({ args, env, print, stop }: CommandContext): Promise<number> {
  const { values, proxyArgs } = splitArguments("doctor", args, ownFlags);
  const format = readOutputFormat("doctor", values);
  const unknown = parseFlags(proxyArgs, { ...ownFlags, ...proxyFlags }).unknown[0];
  if (unknown !== undefined) throw new UsageError("doctor", unknown.message);
  const url = values.address === "" ? undefined : await agentUrl("doctor", values.address, env);
  const { runDoctor, readAgentEnvironment, chooseJudgedAgent, renderDiagnosis, diagnosisJson, hostPortOf } =
    await import("../../diagnosis/doctor/index.ts");
  const address = url && hostPortOf(url);
  const status = address ?? { host: "localhost", port: await readStatusPort(env) };
  const given = { env, args: proxyArgs, status, withoutLauncher: userEnvironment };
  const agent = values.pid === 0 ? await chooseJudgedAgent(given) : await readAgentEnvironment(values.pid);
  // Paths of the configuration are relative to the agent's working directory.
  if (agent.directory !== process.cwd()) process.chdir(agent.directory);
  const agentEnv = userEnvironment(agent.env);
  const chooseEnvoy = (config: AgentConfig): Promise<AgentConfig> => withInstalledEnvoy(config, agentEnv);
  const judged = "isUncertain" in agent ? agent : undefined;
  const options = { env: agentEnv, args: agent.args, address, chooseEnvoy, judged };
  const diagnosis = await runDoctor(options, systemClock, stop);
  const { paint, columns, redraws } = readTerminal(env);
  const view = { paint, columns: redraws ? columns : undefined };
  print(await renderOutput(format, diagnosisJson(diagnosis), () => renderDiagnosis(diagnosis, view)));
  return diagnosis.counts.failed === 0 ? exitCode.ok : exitCode.failed;
}
