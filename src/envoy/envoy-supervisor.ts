// SPDX-License-Identifier: Apache-2.0
import { orAborted } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { EnvoyConfig } from "./envoy-config.ts";
import { EnvoyExitedError } from "./envoy-errors.ts";
import { describeExit, type EnvoyExit } from "./envoy-exit.ts";
import { type EnvoyDeps, type EnvoyProcess, startEnvoyProcess } from "./envoy-process.ts";
import { isFailure, restartDelayMs } from "./restart-budget.ts";

export interface SupervisorDeps extends EnvoyDeps {
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** The parts that a hot restart may change. */
export type EnvoyLaunch = Pick<EnvoyConfig, "binaryPath" | "args" | "env" | "admin" | "expects">;

export type HotRestartOutcome =
  | { readonly kind: "completed"; readonly epoch: number; readonly pid: number }
  /** The current Envoy keeps running. */
  | { readonly kind: "failed"; readonly reason: string };

/** Counts since the start of the agent. */
export interface SupervisionCounts {
  /** Failures of the current Envoy. */
  failures: number;
  restarts: number;
  hotRestarts: number;
  failedHotRestarts: number;
}

/**
 * Envoy across all its restarts and epochs. `exited` resolves when Envoy has exited for good, `pid` is that of the
 * current Envoy.
 */
export interface SupervisedEnvoy extends EnvoyProcess {
  readonly counts: Readonly<SupervisionCounts>;
  /** Of every Envoy that runs: the current one, and older epochs that still drain. */
  readonly pids: readonly number[];
  /** Of the current Envoy. */
  readonly current: Pick<EnvoyConfig, "admin" | "expects">;
  /** How Envoy last failed; undefined while it has not. */
  readonly lastFailure: EnvoyExit | undefined;
  /** Call it when the agent begins to shut down: Envoy is neither restarted nor hot restarted any more. */
  beginShutdown(): void;
  /** Waits until a hot restart that is under way has completed or failed. */
  untilSettled(): Promise<void>;
  /**
   * Starts a new Envoy from the present binary and bootstrap, which takes over listeners and connections. Calls during
   * a hot restart share its outcome.
   * @param launch for this and later Envoys; default as before
   */
  hotRestart(launch?: EnvoyLaunch): Promise<HotRestartOutcome>;
}

/**
 * Starts Envoy, restarts it after a failure as the configuration allows, and hot restarts it.
 * The first start is immediate: nothing is loaded or awaited before Envoy's exec.
 * @throws EnvoyMissingError when the binary is missing or cannot be executed
 */
export function startEnvoy(config: EnvoyConfig, deps: SupervisorDeps): SupervisedEnvoy {
  return new EnvoySupervisor(config, deps);
}

class EnvoySupervisor implements SupervisedEnvoy {
  readonly counts: SupervisionCounts = { failures: 0, restarts: 0, hotRestarts: 0, failedHotRestarts: 0 };
  readonly exited: Promise<EnvoyExit>;
  readonly #deps: SupervisorDeps;
  readonly #log: Logger;
  readonly #startedMs: number;
  /** Aborts when no further Envoy may start. */
  readonly #noStarts = new AbortController();
  /** Aborts when Envoy is terminated or killed. */
  readonly #stopping = new AbortController();
  /** Every Envoy that is not disposed of: the current one, and older epochs that still drain. */
  readonly #processes = new Set<EnvoyProcess>();
  readonly #restartsMs: number[] = [];
  #config: EnvoyConfig;
  #epoch = 0;
  #current: EnvoyProcess;
  #exit: EnvoyExit | undefined;
  #lastFailure: EnvoyExit | undefined;
  #hotRestarting: Promise<HotRestartOutcome> | undefined;
  /** Resolves when a hot restart has replaced the current Envoy. */
  #replaced = Promise.withResolvers<undefined>();

  constructor(config: EnvoyConfig, deps: SupervisorDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#log = deps.log.scope("envoy");
    this.#startedMs = deps.clock.monotonicMs();
    this.#current = this.#start();
    this.exited = this.#run();
  }

  get pid(): number {
    return this.#current.pid;
  }

  get startedAtMs(): number {
    return this.#current.startedAtMs;
  }

  get pids(): readonly number[] {
    return this.#running().map(({ pid }) => pid);
  }

  get exit(): EnvoyExit | undefined {
    return this.#exit;
  }

  get current(): Pick<EnvoyConfig, "admin" | "expects"> {
    return this.#config;
  }

  get lastFailure(): EnvoyExit | undefined {
    return this.#lastFailure;
  }

  owns(pid: number): boolean {
    return [...this.#processes].some((process) => process.owns(pid));
  }

  async terminate(killAfterMs: number, force?: AbortSignal): Promise<EnvoyExit> {
    await this.#stop((process) => process.terminate(killAfterMs, force));
    return await this.exited;
  }

  async kill(): Promise<EnvoyExit> {
    await this.#stop((process) => process.kill());
    return await this.exited;
  }

  async orExited<T>(work: Promise<T>): Promise<T> {
    const failed = this.exited.then((exit) => {
      throw new EnvoyExitedError(exit, this.#deps.clock.monotonicMs() - this.#startedMs);
    });
    return await Promise.race([work, failed]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#exit === undefined) await this.kill();
    await Promise.all([...this.#processes].map((process) => process[Symbol.asyncDispose]()));
    this.#processes.clear();
  }

  beginShutdown(): void {
    this.#noStarts.abort(new Error("the agent is shutting down"));
  }

  async untilSettled(): Promise<void> {
    await this.#hotRestarting?.catch(() => undefined);
  }

  hotRestart(launch: EnvoyLaunch = this.#config): Promise<HotRestartOutcome> {
    this.#hotRestarting ??= this.#hotRestart(launch).finally(() => {
      this.#hotRestarting = undefined;
    });
    return this.#hotRestarting;
  }

  #mayStart(): boolean {
    return !this.#noStarts.signal.aborted;
  }

  #start(): EnvoyProcess {
    const process = startEnvoyProcess(this.#config, this.#epoch, this.#deps);
    this.#processes.add(process);
    return process;
  }

  /** Runs until the current Envoy has exited and is not restarted. */
  async #run(): Promise<EnvoyExit> {
    let exit = await this.#untilCurrentExits();
    while (await this.#restartAfter(exit)) exit = await this.#untilCurrentExits();
    this.#exit = exit;
    await this.#stop((process) => process.kill());
    const { hotRestart } = this.#config;
    if (hotRestart !== undefined) {
      const { removeSharedMemory } = await import("./hot-restart.ts");
      await removeSharedMemory(hotRestart.baseId);
    }
    return exit;
  }

  async #untilCurrentExits(): Promise<EnvoyExit> {
    for (;;) {
      const process = this.#current;
      await Promise.race([process.exited, this.#replaced.promise]);
      // a hot restart that is under way may still replace an Envoy that has exited
      if (process.exit !== undefined) await this.untilSettled();
      if (process.exit !== undefined && process === this.#current) return process.exit;
    }
  }

  /** @returns whether another Envoy runs now */
  async #restartAfter(exit: EnvoyExit): Promise<boolean> {
    const delayMs = this.#delayBeforeRestart(exit);
    if (delayMs === undefined) return false;
    await this.#deps.clock.delay(delayMs, this.#noStarts.signal).catch(() => undefined);
    if (!this.#mayStart()) return false;
    // only a newer epoch would stop an older one, which holds resources that the first epoch needs
    await Promise.all(this.#running().map((process) => process.kill()));
    // a shutdown that started during that wait would not stop an Envoy that starts now
    if (!this.#mayStart()) return false;
    this.#restartsMs.push(this.#deps.clock.monotonicMs());
    this.#epoch = 0;
    try {
      this.#current = this.#start();
    } catch (error) {
      this.#log.error("cannot restart Envoy", { error: describeError(error) });
      return false;
    }
    this.counts.restarts++;
    return true;
  }

  /** Counts and logs a failure. @returns undefined when Envoy is not restarted */
  #delayBeforeRestart(exit: EnvoyExit): number | undefined {
    const { restarts } = this.#config;
    if (!isFailure(exit) || this.#stopping.signal.aborted) return undefined;
    this.counts.failures++;
    this.#lastFailure = exit;
    if (restarts === undefined || !this.#mayStart()) return undefined;
    const { clock, random } = this.#deps;
    const facts = { exit: describeExit(exit), budget: restarts.budget, windowMs: restarts.windowMs };
    const delayMs = restartDelayMs(this.#restartsMs, clock.monotonicMs(), restarts, random());
    if (delayMs === undefined) this.#log.error("Envoy failed; the restart budget is used up", facts);
    else this.#log.warn("Envoy failed; restarting", { ...facts, delayMs: Math.round(delayMs) });
    return delayMs;
  }

  async #hotRestart(launch: EnvoyLaunch): Promise<HotRestartOutcome> {
    const { hotRestart } = this.#config;
    if (hotRestart === undefined) {
      return this.#hotRestartFailed("hot restart is disabled; set ATTACHE_HOT_RESTART=true to enable it");
    }
    const tooLate: HotRestartOutcome = { kind: "failed", reason: "the agent is shutting down" };
    if (this.#exit !== undefined || !this.#mayStart() || !(await this.#untilOlderEpochsExit())) return tooLate;
    const { startNextEpoch } = await import("./hot-restart.ts");
    const { binaryPath, args, env, admin, expects } = launch;
    const config = { ...this.#config, binaryPath, args, env, admin, expects };
    const next = { config, hotRestart, epoch: this.#epoch + 1 };
    const limits = { mayStart: this.#noStarts.signal, mayRun: this.#stopping.signal };
    const start = await startNextEpoch(next, this.#deps, limits);
    if (start.kind === "failed") return this.#mayStart() ? this.#hotRestartFailed(start.reason) : tooLate;
    const { process } = start;
    this.#disposeWhenExited(this.#current);
    this.#processes.add(process);
    this.#current = process;
    this.#config = next.config;
    this.#epoch = next.epoch;
    this.#replaced.resolve(undefined);
    this.#replaced = Promise.withResolvers();
    this.counts.hotRestarts++;
    this.#log.info("hot restart completed", { epoch: next.epoch, pid: process.pid });
    return { kind: "completed", epoch: next.epoch, pid: process.pid };
  }

  #hotRestartFailed(reason: string): HotRestartOutcome {
    this.counts.failedHotRestarts++;
    this.#log.error("hot restart failed; keeping the running Envoy", { reason });
    return { kind: "failed", reason };
  }

  /** No more than two epochs may run. @returns false when a shutdown began first */
  async #untilOlderEpochsExit(): Promise<boolean> {
    const older = [...this.#processes].filter((process) => process !== this.#current);
    const exited = Promise.all(older.map((process) => process.exited));
    return await orAborted(exited, this.#noStarts.signal).then(
      () => true,
      () => false,
    );
  }

  /** The new epoch stops the old one when its drain is over. */
  #disposeWhenExited(old: EnvoyProcess): void {
    void old.exited.then(async (exit) => {
      this.#log.info("old Envoy exited after the hot restart", { pid: old.pid, exit: describeExit(exit) });
      await old[Symbol.asyncDispose]();
      this.#processes.delete(old);
    });
  }

  async #stop(how: (process: EnvoyProcess) => Promise<EnvoyExit>): Promise<void> {
    this.beginShutdown();
    this.#stopping.abort(new Error("Envoy is being stopped"));
    await this.untilSettled();
    await Promise.all(this.#running().map(how));
  }

  #running(): readonly EnvoyProcess[] {
    return [...this.#processes].filter((process) => process.exit === undefined);
  }
}
