// SPDX-License-Identifier: Apache-2.0
import { globalFlags } from "../../config/sources/flags.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import type { FlagSpecs } from "../../lib/flags.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { logScopes } from "../../model/log-scopes.ts";
import { addressFlags, agentUrl } from "../agent-address.ts";
import { type Command, type CommandContext, parseCommandFlags, UsageError } from "../command.ts";
import { outputFlags, readOutputFormat, renderOutput } from "../output/output-format.ts";
import { readTerminal } from "../output/terminal.ts";

const flags = {
  ...globalFlags,
  ...outputFlags,
  ...addressFlags,
  for: {
    type: "string",
    default: "10m",
    meaning: "how long the change lasts, up to 24h; 0: until agent or Envoy is restarted",
  },
} as const satisfies FlagSpecs;

const levels = ["trace", "debug", "info", "warn", "error", "critical", "none", "reset"];

export const command: Command = {
  summary: "show or change the log levels of the agent and of Envoy for a while",
  usage: "[LEVEL [SCOPE...]]",
  words: [...levels, "all", ...logScopes],
  flags,
  examples: [
    { line: "attache log", meaning: "every scope of the agent and every logger of Envoy, with its level" },
    { line: "attache log debug sds ca", meaning: "two scopes of the agent, for 10 minutes" },
    { line: "attache log trace envoy:http envoy:connection --for 1m", meaning: "two loggers of Envoy, for a minute" },
    { line: "attache log reset envoy", meaning: "all of Envoy's loggers as they were" },
  ],
  exitCodes: [
    [0, "shown or changed"],
    [1, "not changed, because Envoy does not respond, or no agent responded"],
  ],
  note: [
    "A SCOPE is a scope of the agent, 'all' of them (the default), 'envoy:LOGGER', or 'envoy': all of Envoy's loggers and the",
    "agent's scope of that name. The agent restores the levels by itself. LEVEL is trace, debug, info, warn, error, critical or",
    "none; reset restores a level now.",
  ].join("\n"),
  run,
};

async function run({ args, env, print, stop }: CommandContext): Promise<number> {
  const { values, positionals, given } = parseCommandFlags("log", args, flags);
  const [level, ...scopes] = positionals;
  const format = readOutputFormat("log", values);
  if (level !== undefined) assertLevel(level);
  else if (given.has("for")) throw new UsageError("log", "--for needs a level");
  const { AgentClient } = await import("../../diagnosis/agent-client.ts");
  const agent = new AgentClient(await agentUrl("log", values.address, env), systemClock);
  const { changeLogLevels, readLogLevels, renderChanged, renderLevels } = await import("../../diagnosis/log/index.ts");
  const change = level === undefined ? undefined : { level, scopes: scopesOf(scopes), duration: values.for };
  const result = change === undefined ? await readLogLevels(agent, stop) : await changeLogLevels(agent, change, stop);
  const render = change === undefined ? renderLevels : renderChanged;
  const { paint } = readTerminal(env);
  print(await renderOutput(format, result, () => render(result, systemClock.now(), paint)));
  return exitCode.ok;
}

function scopesOf(scopes: readonly string[]): readonly string[] {
  return scopes.length === 0 ? ["all"] : scopes;
}

/** The agent knows more words for them. */
const otherWords: readonly string[] = ["warning", "off"];

/** The first word is easily taken for a scope: the agent would complain about what was not meant. */
function assertLevel(word: string): void {
  if (levels.includes(word) || otherWords.includes(word)) return;
  const hint = suggestion(word, levels);
  throw new UsageError("log", `${JSON.stringify(word)} is not a level${hint}; the levels are ${levels.join(", ")}`);
}
