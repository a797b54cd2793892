// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import type { Clock } from "../lib/async/clock.ts";
import { systemCode } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { EnvoyConfig } from "./envoy-config.ts";
import { EnvoyExitedError, EnvoyMissingError } from "./envoy-errors.ts";
import type { EnvoyExit } from "./envoy-exit.ts";
import { findLifeline, type Guardian, type Lifeline, startGuardian } from "./lifeline.ts";

export interface EnvoyDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Left out: the best one of this system. */
  readonly lifeline?: Lifeline;
}

/** A running Envoy. Disposing it kills it, if it still runs, and returns when it is gone. */
export interface EnvoyProcess extends AsyncDisposable {
  /** Of Envoy itself: a launcher before it becomes Envoy and keeps the number. */
  readonly pid: number;
  /** Resolves when Envoy has ended, whatever ended it; never rejects. */
  readonly exited: Promise<EnvoyExit>;
  /** How it ended for good; undefined while it runs. */
  readonly exit: EnvoyExit | undefined;
  /** Sends SIGTERM; SIGKILL after `killAfterMs` or as soon as `force` aborts. Resolves when Envoy is gone. */
  terminate(killAfterMs: number, force?: AbortSignal): Promise<EnvoyExit>;
  /** Sends SIGKILL. Resolves when Envoy is gone. */
  kill(): Promise<EnvoyExit>;
  /**
   * Waits for `work`, but no longer than Envoy runs: an exit before is a failure, never a hang.
   * @throws EnvoyExitedError
   */
  orExited<T>(work: Promise<T>): Promise<T>;
  /** Whether this is Envoy or its helper, a child whose end this module waits for. */
  owns(pid: number): boolean;
}

/**
 * Starts one Envoy, at once: nothing is loaded or awaited before its exec. It shares standard output and standard error
 * with the agent, so that nobody stands between it and the log (its access logs open /dev/stdout themselves).
 * @throws EnvoyMissingError when the binary is not there or cannot be executed
 */
export function startEnvoyProcess(config: EnvoyConfig, deps: EnvoyDeps): EnvoyProcess {
  const log = deps.log.scope("envoy");
  const startedMs = deps.clock.monotonicMs();
  const binaryPath = checkBinary(config);
  const lifeline = deps.lifeline ?? findLifeline();
  const [command, args] =
    lifeline.kind === "setpriv"
      ? [lifeline.path, ["--pdeathsig", "KILL", "--", binaryPath, ...config.args]]
      : [binaryPath, config.args];
  const child = launch(command, args, config);
  const { pid } = child;
  if (pid === undefined) throw new EnvoyMissingError(binaryPath, "exec-failed");
  const guardian = lifeline.kind === "shell" ? startGuardian(lifeline.path, pid) : undefined;
  log.info("Envoy started", { pid, binaryPath, args: config.args });
  logLifeline(log, lifeline);
  return superviseChild({ child, pid, guardian, startedMs, clock: deps.clock });
}

interface Supervised {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly guardian: Guardian | undefined;
  readonly startedMs: number;
  readonly clock: Clock;
}

function superviseChild({ child, pid, guardian, startedMs, clock }: Supervised): EnvoyProcess {
  let exit: EnvoyExit | undefined;
  let asked = false;
  const gone = new AbortController();
  const exited = new Promise<EnvoyExit>((resolve) => {
    child.once("exit", (code, signal) => {
      exit = exitOf(code, signal, asked);
      gone.abort();
      resolve(exit);
    });
  });
  const send = (signal: "SIGTERM" | "SIGKILL"): void => {
    asked = true;
    child.kill(signal);
  };
  const kill = (): Promise<EnvoyExit> => {
    send("SIGKILL");
    return exited;
  };
  return {
    pid,
    exited,
    get exit() {
      return exit;
    },
    async terminate(killAfterMs, force) {
      send("SIGTERM");
      const ends = force === undefined ? gone.signal : AbortSignal.any([gone.signal, force]);
      await clock.delay(killAfterMs, ends).catch(() => undefined);
      return exit ?? (await kill());
    },
    kill,
    owns: (other) => other === pid || other === guardian?.pid,
    async orExited(work) {
      const failed = exited.then((how) => {
        throw new EnvoyExitedError(how, clock.monotonicMs() - startedMs);
      });
      return await Promise.race([work, failed]);
    },
    async [Symbol.asyncDispose]() {
      if (exit === undefined) await kill();
      await guardian?.[Symbol.asyncDispose]();
    },
  };
}

/** Codes 126 and 127 are a launcher's or the C library's way to say that there was nothing to execute; not Envoy's. */
function exitOf(code: number | null, signal: NodeJS.Signals | null, asked: boolean): EnvoyExit {
  if (signal !== null) return { kind: "signal", signal, asked };
  const ended = code ?? 0;
  return { kind: ended === 126 || ended === 127 ? "not-run" : "code", code: ended, asked };
}

function launch(command: string, args: readonly string[], { env, user }: EnvoyConfig): ChildProcess {
  try {
    const child = spawn(command, args, {
      stdio: ["ignore", "inherit", "inherit"],
      env,
      ...(user === undefined ? {} : user),
    });
    child.on("error", () => undefined);
    return child;
  } catch (error) {
    throw new EnvoyMissingError(command, "exec-failed", error);
  }
}

/** The path to execute: as configured, or for a bare name as the search path finds it. */
function checkBinary({ binaryPath, env }: EnvoyConfig): string {
  if (binaryPath.includes("/")) {
    checkExecutable(binaryPath);
    return binaryPath;
  }
  for (const directory of (env["PATH"] ?? "").split(":")) {
    const path = `${directory === "" ? "." : directory}/${binaryPath}`;
    if (statSync(path, { throwIfNoEntry: false })?.isFile() === true) {
      checkExecutable(path);
      return path;
    }
  }
  throw new EnvoyMissingError(binaryPath, "absent");
}

function checkExecutable(path: string): void {
  try {
    if (!statSync(path).isFile()) throw new EnvoyMissingError(path, "not-a-file");
    accessSync(path, constants.X_OK);
  } catch (error) {
    if (error instanceof EnvoyMissingError) throw error;
    throw new EnvoyMissingError(path, systemCode(error) === "EACCES" ? "not-executable" : "absent", error);
  }
}

function logLifeline(log: Logger, lifeline: Lifeline): void {
  if (lifeline.kind === "shell") {
    log.debug("a shell ends Envoy if the agent is killed; with setpriv (util-linux 2.33) the kernel would do it", {
      shell: lifeline.path,
    });
  } else if (lifeline.kind === "none") {
    log.warn("Envoy outlives this agent if the agent is killed; add setpriv (util-linux 2.33) or a shell to the image");
  }
}
