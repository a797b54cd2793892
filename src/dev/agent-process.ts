// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { orAborted } from "../lib/async/tasks.ts";
import { AgentError } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";
import type { AgentSetup } from "./agent-setup.ts";

/** How this program starts another process of itself. */
export interface ProgramCommand {
  readonly file: string;
  /** Arguments before the command's name. */
  readonly args: readonly string[];
  /** The group of the process; default: that of this one. */
  readonly gid?: number;
}

/** An agent of the mesh exited without having been stopped. */
export class DevAgentEndedError extends AgentError {
  readonly code = "AGENT_DEV_AGENT_ENDED";
  override readonly exitCode = exitCode.failed;
  readonly workload: string;
  readonly logPath: string;
  constructor(workload: string, how: string, logPath: string) {
    super(`run the agent of ${workload}: it stopped unexpectedly with ${how}; its log is ${logPath}`);
    this.workload = workload;
    this.logPath = logPath;
  }
}

/** An agent, with its Envoy, as a child process. Disposing it stops both and waits until they are gone. */
export interface AgentProcess extends AsyncDisposable {
  readonly pid: number;
  /** Agent and Envoy write here. */
  readonly logPath: string;
  /** Resolves, never rejects, when the process is gone: with an error, unless it was stopped. */
  readonly ended: Promise<DevAgentEndedError | undefined>;
}

/** From SIGTERM to SIGKILL for the agent and everything that it started. */
const killAfterMs = 6_000;

/**
 * Starts an agent in a process group of its own: Ctrl-C in a terminal reaches only this program, which stops the agents
 * in order, and the whole group can be killed.
 */
export async function startAgentProcess(
  program: ProgramCommand,
  setup: AgentSetup,
  clock: Clock,
): Promise<AgentProcess> {
  const { execa } = await import("execa");
  const logPath = join(setup.directory, "agent.log");
  // The child gets the open file itself, so its output does not pass through this process.
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
    ...(program.gid === undefined ? {} : { gid: program.gid }),
  });
  const pid = child.pid;
  let isStopped = false;
  const ended = child.then((result) => {
    log.destroy();
    if (isStopped) return undefined;
    const how =
      result.signal ?? (result.exitCode === undefined ? result.shortMessage : `exit code ${String(result.exitCode)}`);
    return new DevAgentEndedError(setup.workload, how ?? "no exit code", logPath);
  });
  if (pid === undefined) throw (await ended) ?? new Error("the agent has no process id");
  const stop = async (): Promise<void> => {
    isStopped = true;
    child.kill("SIGTERM");
    using limit = deadline(clock, killAfterMs);
    await orAborted(ended, limit.signal).catch(() => undefined);
    killGroup(pid);
    await ended;
  };
  return { pid, logPath, ended, [Symbol.asyncDispose]: stop };
}

/** Kills the agent, if it is left. Envoy has a group of its own, and ends with the agent by its parent-death signal. */
function killGroup(leaderPid: number): void {
  try {
    process.kill(-leaderPid, "SIGKILL");
  } catch {
    // The group is empty.
  }
}

/** The last lines of a log; empty when it cannot be read. */
export async function readLastLines(logPath: string, count: number): Promise<readonly string[]> {
  const text = await readFile(logPath, "utf8").catch(() => "");
  return text
    .trimEnd()
    .split("\n")
    .slice(-count)
    .filter((line) => line !== "");
}

/** A line on its input releases it. The end of its input without a line means that this process is gone. */
const watchdogScript = `trap '' HUP INT QUIT TERM
read -r word
[ -n "$word" ] || kill -TERM "$@" 2>/dev/null`;

/**
 * Starts a shell that sends SIGTERM to the agents when this process is gone, also after SIGKILL: agents have process
 * groups of their own, so nothing else would stop them. Disposing it releases it without a signal.
 */
export async function startParentDeathWatchdog(pids: readonly number[]): Promise<AsyncDisposable> {
  const { execa } = await import("execa");
  const watchdog = execa("/bin/sh", ["-c", watchdogScript, "attache-dev-watchdog", ...pids.map(String)], {
    stdout: "ignore",
    stderr: "ignore",
    buffer: false,
    detached: true,
    cleanup: false,
    reject: false,
  });
  watchdog.stdin.on("error", () => undefined);
  return {
    async [Symbol.asyncDispose]() {
      watchdog.stdin.end("released\n");
      await watchdog;
    },
  };
}
