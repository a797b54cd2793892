// SPDX-License-Identifier: Apache-2.0
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  type DevConfig,
  type DevFault,
  devFaults,
  enterUserNamespace,
  findEnvoy,
  isProgram,
  type ProgramCommand,
  runDev,
  runWorkloadProcess,
  screenFor,
  workloadVariable,
} from "../../dev/index.ts";
import { systemClock } from "../../lib/async/clock.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { type FlagSpecs, parseFlags } from "../../lib/flags.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { type Command, type CommandContext, UsageError } from "../command.ts";

export const command: Command = {
  summary: "run a small mesh on this machine: a CA, two workloads, two Envoys, mTLS between them; Ctrl-C stops it",
  get flags() {
    return devFlags;
  },
  examples: [
    { line: "attache dev", meaning: "start the mesh, prove mTLS, and keep it for experiments" },
    { line: "attache dev --once --json", meaning: "run the proofs alone, and report for programs" },
  ],
  exitCodes: [
    [0, "stopped; with --once, every proof succeeded"],
    [1, "the mesh did not start, or a proof failed"],
  ],
  run,
};

/** docs/dev.md describes them. */
const devFlags = {
  once: {
    type: "bool",
    default: "false",
    meaning: "exit after the proofs, with 0 if all succeeded, else with 1",
  },
  json: { type: "bool", default: "false", meaning: "print the report as one JSON object; write progress to stderr" },
  keep: { type: "string", default: "", meaning: "working directory to use and to keep, logs included" },
  resources: {
    type: "string",
    default: "",
    meaning: "directory of Envoy resources, instead of examples/dev; edits are applied while the mesh runs",
  },
  files: {
    type: "bool",
    default: "false",
    meaning: "let Envoy read the resources from files, instead of over ADS through its agent",
  },
  capture: {
    type: "bool",
    default: "false",
    meaning:
      "a network namespace for each workload, with captured traffic: web calls http://api/; needs root or user namespaces",
  },
  timeout: { type: "string", default: "30s", meaning: "time limit for readiness, and then for the rotation" },
  fault: {
    type: "string",
    default: "none",
    values: devFaults,
    meaning: `inject a fault, to see the proof fail: ${devFaults.join(", ")}`,
  },
} as const satisfies FlagSpecs;

type DevFlags = ReturnType<typeof parseFlags<typeof devFlags>>["values"];

async function run({ args, env, print, printError, stop, onHangup }: CommandContext): Promise<number> {
  if (env[workloadVariable] !== undefined && process.connected) {
    await runWorkloadProcess(systemClock, stop);
    return exitCode.ok;
  }
  const values = readFlags(args);
  const program = process.argv[1] ?? "";
  const root = dirname(dirname(realpathSync(program)));
  const command = await agentProgram(program, root);
  const self = [command.file, ...command.args, "dev", ...args];
  const capture = values.capture ? { userNamespace: await enterUserNamespace(self, env) } : undefined;
  const config: DevConfig = {
    once: values.once,
    json: values.json,
    keepDirectory: values.keep === "" ? undefined : values.keep,
    fault: parseFault(values.fault),
    resourcesDirectory: values.resources === "" ? join(root, "examples/dev") : values.resources,
    delivery: values.files ? "files" : "ads",
    envoyPath: await findEnvoy(env, root),
    capture,
    program: command,
    env,
    readyWithinMs: parseTimeout(values.timeout),
    rotationWithinMs: parseTimeout(values.timeout),
  };
  const [write, stream] = values.json ? [printError, process.stderr] : [print, process.stdout];
  const deps = { clock: systemClock, print, screen: screenFor(write, stream.isTTY, env) };
  // Closing the terminal stops the mesh. It does not stop an agent.
  const terminal = new AbortController();
  onHangup(() => {
    terminal.abort(new Error("the terminal was closed"));
  });
  return await runDev(config, deps, AbortSignal.any([stop, terminal.signal]));
}

/** Agents are started with the launcher, like any agent; without one, in the way this process was started. */
async function agentProgram(program: string, root: string): Promise<ProgramCommand> {
  const launcher = join(root, "bin/attache");
  if (program.endsWith("attache.cjs") && (await isProgram(launcher))) return { file: launcher, args: [] };
  return { file: process.execPath, args: [...process.execArgv, program] };
}

function readFlags(args: readonly string[]): DevFlags {
  const { values, unknown, problems, positionals } = parseFlags(args, devFlags);
  const wrong = [...unknown, ...problems].map(({ message }) => message);
  if (positionals.length > 0) wrong.push(`unexpected ${positionals.join(" ")}`);
  if (wrong.length > 0) throw new UsageError("dev", wrong.join("; "), Object.keys(devFlags));
  return values;
}

function parseFault(text: string): DevFault {
  const fault = devFaults.find((known) => known === text);
  if (fault === undefined) throw new UsageError("dev", `--fault is one of ${devFaults.join(", ")}, not ${text}`);
  return fault;
}

function parseTimeout(text: string): number {
  const ms = parseGoDuration(text);
  if (ms === undefined || ms <= 0) throw new UsageError("dev", `--timeout is a duration such as 30s, not ${text}`);
  return ms;
}
