// SPDX-License-Identifier: Apache-2.0
import { proxyFlags } from "../../config/sources/flags.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { type HostPort, parseHostPort } from "../../lib/net/host-port.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";

/** Flags of `doctor`, in addition to those of `proxy`. */
const ownFlags = {
  output: { type: "string", short: "o", default: "text", meaning: "text or json" },
  json: { type: "bool", default: "false", meaning: "the same as -o json" },
  address: { type: "string", default: "", meaning: "status port of the agent, HOST:PORT; the configured one if empty" },
} as const satisfies FlagSpecs;

export const command: Command = {
  summary: "find out what is wrong: configuration, identity, network, machine, Envoy and the running agent",
  usage: "[sidecar|router|waypoint] [FLAGS]",
  flags: { ...ownFlags, ...proxyFlags },
  note: "Takes the flags and the environment of 'proxy', and starts and changes nothing. Exits with 1 if something failed.",
  run,
};

async function run({ args, env, print, stop }: CommandContext): Promise<number> {
  const { proxyArgs, format, address } = readFlags(args);
  const { runDoctor, renderDiagnosis, diagnosisJson } = await import("../../diagnosis/doctor/index.ts");
  const diagnosis = await runDoctor({ env, args: proxyArgs, address }, systemClock, stop);
  print(format === "json" ? `${JSON.stringify(diagnosisJson(diagnosis), undefined, 2)}\n` : renderDiagnosis(diagnosis));
  return diagnosis.counts.failed === 0 ? exitCode.ok : exitCode.failed;
}

interface DoctorFlags {
  readonly proxyArgs: readonly string[];
  readonly format: "text" | "json";
  readonly address: HostPort | undefined;
}

function readFlags(args: readonly string[]): DoctorFlags {
  const { own, proxyArgs } = splitArguments(args);
  const { values, problems } = parseFlags(own, ownFlags);
  const [problem] = problems;
  if (problem !== undefined) throw new UsageError("doctor", `${problem.flag}: ${problem.message}`);
  const unknown = parseFlags(proxyArgs, proxyFlags).unknown[0];
  if (unknown !== undefined) throw new UsageError("doctor", unknown.message);
  const format = values.json ? "json" : values.output;
  if (format !== "text" && format !== "json") {
    throw new UsageError("doctor", `--output is text or json, not ${JSON.stringify(format)}`);
  }
  const address = values.address === "" ? undefined : parseHostPort(values.address);
  if (typeof address === "string") throw new UsageError("doctor", `--address: ${address}`);
  return { proxyArgs, format, address };
}

/** Splits the arguments into those of `doctor` and those of `proxy`. */
function splitArguments(args: readonly string[]): { own: readonly string[]; proxyArgs: readonly string[] } {
  const own: string[] = [];
  const proxyArgs: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const word = args[index] ?? "";
    const name = /^--(?<name>[a-z]+)(?:=|$)/.exec(word)?.groups?.["name"] ?? (word.startsWith("-o") ? "output" : "");
    if (!Object.hasOwn(ownFlags, name)) proxyArgs.push(word);
    else {
      own.push(word);
      const takesNext = name !== "json" && (word === "-o" || word === `--${name}`);
      if (takesNext) own.push(...args.slice(++index, index + 1));
    }
  }
  return { own, proxyArgs };
}
