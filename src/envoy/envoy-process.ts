// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import type { Clock } from "../lib/async/clock.ts";
import { systemCode } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { killGroup, ownGroup } from "../lib/process-group.ts";
import type { EnvoyConfig, HotRestartConfig } from "./envoy-config.ts";
import { EnvoyExitedError, EnvoyMissingError } from "./envoy-errors.ts";
import type { EnvoyExit } from "./envoy-exit.ts";
import {
  findWatchdog,
  type ParentDeathWatchdog,
  startWatchdogShell,
  type WatchdogShell,
} from "./parent-death-watchdog.ts";

export interface EnvoyDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Default: the best one of this system. */
  readonly watchdog?: ParentDeathWatchdog;
}

/** An Envoy process. Disposing it kills Envoy, if it still runs, and waits until it is gone. */
export interface EnvoyProcess extends AsyncDisposable {
  /** Of Envoy itself: a launcher keeps its process id when it executes Envoy. */
  readonly pid: number;
  /** Wall clock at its start. */
  readonly startedAtMs: number;
  /** Resolves when Envoy has exited for any reason; never rejects. */
  readonly exited: Promise<EnvoyExit>;
  /** Undefined while Envoy runs. */
  readonly exit: EnvoyExit | undefined;
  /** Sends SIGTERM; SIGKILL after `killAfterMs` or as soon as `force` aborts. Resolves when Envoy is gone. */
  terminate(killAfterMs: number, force?: AbortSignal): Promise<EnvoyExit>;
  /** Sends SIGKILL. Resolves when Envoy is gone. */
  kill(): Promise<EnvoyExit>;
  /**
   * Waits for `work`. An exit of Envoy before that is an error.
   * @throws EnvoyExitedError
   */
  orExited<T>(work: Promise<T>): Promise<T>;
  /** Whether this is the process id of a child that this module waits for: Envoy or its watchdog. */
  owns(pid: number): boolean;
}

/**
 * Starts one Envoy. Nothing is loaded or awaited before its exec. It inherits standard output and standard error, so
 * that it writes its log directly (its access logs open /dev/stdout themselves).
 * @param epoch of a hot restart; 0 for an Envoy that takes over from none
 * @throws EnvoyMissingError when the binary is missing or cannot be executed
 */
export function startEnvoyProcess(config: EnvoyConfig, epoch: number, deps: EnvoyDeps): EnvoyProcess {
  const log = deps.log.scope("envoy");
  const startedMs = deps.clock.monotonicMs();
  const binaryPath = checkBinary(config);
  const envoyArgs = config.hotRestart === undefined ? config.args : epochArgs(config.args, config.hotRestart, epoch);
  const watchdog = deps.watchdog ?? findWatchdog();
  const [command, args] =
    watchdog.kind === "setpriv"
      ? [watchdog.path, ["--pdeathsig", "KILL", "--", binaryPath, ...envoyArgs]]
      : [binaryPath, envoyArgs];
  const child = launch(command, args, config);
  const { pid } = child;
  if (pid === undefined) throw new EnvoyMissingError(binaryPath, "exec-failed");
  const shell = watchdog.kind === "shell" ? startWatchdogShell(watchdog.path, pid) : undefined;
  log.info("Envoy started", { pid, binaryPath, args: envoyArgs });
  logWatchdog(log, watchdog);
  return superviseChild({ child, pid, shell, startedMs, clock: deps.clock });
}

/**
 * Envoy's arguments for one epoch of a hot restart: those configured, without the one that disables it.
 * @param epoch 0 for the first Envoy, one more for each that takes over
 * Source: Envoy's command line documentation
 */
export function epochArgs(args: readonly string[], hotRestart: HotRestartConfig, epoch: number): readonly string[] {
  return [
    ...args.filter((arg) => arg !== "--disable-hot-restart"),
    ...["--restart-epoch", String(epoch), "--base-id", String(hotRestart.baseId)],
    ...["--parent-shutdown-time-s", String(Math.max(1, Math.ceil(hotRestart.parentShutdownMs / 1_000)))],
  ];
}

interface Supervised {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly shell: WatchdogShell | undefined;
  readonly startedMs: number;
  readonly clock: Clock;
}

function superviseChild({ child, pid, shell, startedMs, clock }: Supervised): EnvoyProcess {
  let exit: EnvoyExit | undefined;
  let requested = false;
  const gone = new AbortController();
  const exited = new Promise<EnvoyExit>((resolve) => {
    child.once("exit", (code, signal) => {
      killGroup(child);
      exit = exitOf(code, signal, requested);
      gone.abort();
      resolve(exit);
    });
  });
  const kill = (): Promise<EnvoyExit> => {
    requested = true;
    if (exit === undefined) killGroup(child);
    return exited;
  };
  const startedAtMs = clock.now();
  return {
    pid,
    startedAtMs,
    exited,
    get exit() {
      return exit;
    },
    async terminate(killAfterMs, force) {
      requested = true;
      child.kill("SIGTERM");
      const ends = force === undefined ? gone.signal : AbortSignal.any([gone.signal, force]);
      await clock.delay(killAfterMs, ends).catch(() => undefined);
      return exit ?? (await kill());
    },
    kill,
    owns: (other) => other === pid || other === shell?.pid,
    async orExited(work) {
      const failed = exited.then((how) => {
        throw new EnvoyExitedError(how, clock.monotonicMs() - startedMs);
      });
      return await Promise.race([work, failed]);
    },
    async [Symbol.asyncDispose]() {
      if (exit === undefined) await kill();
      await shell?.[Symbol.asyncDispose]();
    },
  };
}

/** With codes 126 and 127 a launcher or the C library reports that it could not execute Envoy. Envoy has no such codes. */
function exitOf(code: number | null, signal: NodeJS.Signals | null, requested: boolean): EnvoyExit {
  if (signal !== null) return { kind: "signal", signal, requested };
  const ended = code ?? 0;
  return { kind: ended === 126 || ended === 127 ? "not-run" : "code", code: ended, requested };
}

/**
 * In a group of its own: Ctrl-C in a terminal reaches the agent alone, which drains Envoy first, and what a launcher in
 * place of Envoy has started ends with it.
 */
function launch(command: string, args: readonly string[], { env, user }: EnvoyConfig): ChildProcess {
  try {
    const child = spawn(command, args, {
      ...ownGroup,
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

/** The path to execute: as configured; a bare name is searched in PATH. */
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

function logWatchdog(log: Logger, watchdog: ParentDeathWatchdog): void {
  if (watchdog.kind === "shell") {
    log.debug("parent-death watchdog is a shell; setpriv (util-linux 2.33 or later) would need no process", {
      shell: watchdog.path,
    });
  } else if (watchdog.kind === "none") {
    log.warn(
      "no parent-death watchdog: Envoy outlives a killed agent; add setpriv (util-linux 2.33 or later) or a shell to the image",
    );
  }
}
