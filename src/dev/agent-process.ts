// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { AgentSetup } from "./agent-setup.ts";
import { DevAgentEndedError } from "./errors.ts";

/** How this very program is started again, for an agent. */
export interface ProgramCommand {
  readonly file: string;
  /** What comes before the words of the command. */
  readonly args: readonly string[];
}

/** An agent, with its Envoy, as a child process. Disposing it ends both and waits for that. */
export interface AgentProcess extends AsyncDisposable {
  readonly pid: number;
  /** Agent and Envoy write here. */
  readonly logPath: string;
  /** Resolves, never rejects, when the process is gone: with an error, unless it was asked to end. */
  readonly ended: Promise<DevAgentEndedError | undefined>;
}

/** From SIGTERM to SIGKILL for the agent and whatever it started. */
const patienceMs = 6_000;

/**
 * Starts an agent. It gets a process group of its own, so that Ctrl-C in a terminal reaches only this program, which
 * ends the agents in order, and so that nothing of it can be left behind.
 */
export async function startAgentProcess(
  program: ProgramCommand,
  setup: AgentSetup,
  clock: Clock,
): Promise<AgentProcess> {
  const { execa } = await import("execa");
  const logPath = join(setup.directory, "agent.log");
  // A stream over an open file: the child gets the file itself, and goes on writing whatever becomes of this process.
  const log = createWriteStream(logPath, { mode: 0o600 });
  await once(log, "open");
  const args = [...program.args, "proxy", "sidecar", "--proxyLogLevel=warning", "--proxyComponentLogLevel=misc:error"];
  const child = execa(program.file, args, {
    cwd: setup.directory,
    env: { ...setup.env },
    extendEnv: false,
    stdin: "ignore",
    stdout: log,
    stderr: log,
    buffer: false,
    detached: true,
    reject: false,
  });
  const pid = child.pid;
  let asked = false;
  const ended = child.then((result) => {
    log.destroy();
    if (asked) return undefined;
    const how =
      result.signal ?? (result.exitCode === undefined ? result.shortMessage : `exit code ${String(result.exitCode)}`);
    return new DevAgentEndedError(setup.workload, how ?? "no exit code", logPath);
  });
  if (pid === undefined) throw (await ended) ?? new Error("the agent has no process id");
  const end = async (): Promise<void> => {
    asked = true;
    child.kill("SIGTERM");
    using limit = deadline(clock, patienceMs);
    await orAborted(ended, limit.signal).catch(() => undefined);
    killGroup(pid);
    await ended;
  };
  return { pid, logPath, ended, [Symbol.asyncDispose]: end };
}

/** Whatever is left of the group that the agent led: nothing, unless it could not do its work. */
function killGroup(leaderPid: number): void {
  try {
    process.kill(-leaderPid, "SIGKILL");
  } catch {
    // Nobody is left in it.
  }
}

/** The last lines of a log, for a message; empty when it cannot be read. */
export async function readLastLines(logPath: string, count: number): Promise<readonly string[]> {
  const text = await readFile(logPath, "utf8").catch(() => "");
  return text
    .trimEnd()
    .split("\n")
    .slice(-count)
    .filter((line) => line !== "");
}
