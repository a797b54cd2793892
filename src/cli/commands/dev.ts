// SPDX-License-Identifier: Apache-2.0
import { realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import {
  type DevFault,
  devFaults,
  findEnvoy,
  isProgram,
  type ProgramCommand,
  runDev,
  screenFor,
} from "../../dev/index.ts";
import { systemClock } from "../../lib/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import type { Command, CommandContext } from "../command.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "a small mesh on this machine: a CA, two workloads, two Envoys, mTLS between them; Ctrl-C ends all of it",
  run,
};

const flags = {
  once: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  keep: { type: "string" },
  resources: { type: "string" },
  timeout: { type: "string", default: "30s" },
  fault: { type: "string", default: "none" },
} as const;

async function run({ args, env, print, printError, stop }: CommandContext): Promise<number> {
  const values = parseFlags(args);
  const program = process.argv[1] ?? "";
  const root = dirname(dirname(realpathSync(program)));
  const screen = values.json ? process.stderr : process.stdout;
  const config = {
    once: values.once,
    json: values.json,
    keepDirectory: values.keep,
    fault: parseFault(values.fault),
    resourcesDirectory: values.resources ?? join(root, "examples/dev"),
    envoyPath: await findEnvoy(env, root),
    program: await agentProgram(program, root),
    env,
    readyWithinMs: parseTimeout(values.timeout),
    rotationWithinMs: parseTimeout(values.timeout),
  };
  const write = values.json ? printError : print;
  const deps = { clock: systemClock, print, screen: screenFor(write, screen.isTTY, env) };
  return await runDev(config, deps, AbortSignal.any([stop, terminalClosed()]));
}

/** Who closes the terminal has ended the demo. An agent, in contrast, does not care. */
function terminalClosed(): AbortSignal {
  const closed = new AbortController();
  process.once("SIGHUP", () => {
    closed.abort(new Error("the terminal was closed"));
  });
  return closed.signal;
}

/** Agents are started as everybody starts them, by the launcher; where there is none, as this very process was. */
async function agentProgram(program: string, root: string): Promise<ProgramCommand> {
  const launcher = join(root, "bin/attache");
  if (program.endsWith("attache.cjs") && (await isProgram(launcher))) return { file: launcher, args: [] };
  return { file: process.execPath, args: [...process.execArgv, program] };
}

/** The flags of `attache dev`; docs/dev.md describes them. */
function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: flags, allowPositionals: false, strict: true }).values;
  } catch (error) {
    throw new UsageError("dev", describeError(error), Object.keys(flags));
  }
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
