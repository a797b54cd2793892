// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { EnvoyConfig } from "./envoy-config.ts";
import { EnvoyExitedError } from "./envoy-errors.ts";
import { describeExit, type EnvoyExit } from "./envoy-exit.ts";
import { type EnvoyDeps, type EnvoyProcess, startEnvoyProcess } from "./envoy-process.ts";
import { epochArgs } from "./epoch-args.ts";
import { isWorthRestart, restartDelayMs } from "./restart-budget.ts";

export interface SupervisorDeps extends EnvoyDeps {
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What a takeover may change of how Envoy is run. */
export type EnvoyLaunch = Pick<EnvoyConfig, "binaryPath" | "args" | "env">;

/** What became of a hot restart. */
export type SwapOutcome =
  | { readonly kind: "swapped"; readonly epoch: number; readonly pid: number }
  /** The old epoch goes on. */
  | { readonly kind: "refused"; readonly reason: string };

/** How often what happened, since the start. */
export interface SupervisionCounts {
  /** Ends of the Envoy in charge that nobody asked for. */
  failures: number;
  restarts: number;
  swaps: number;
  refusedSwaps: number;
}

/** Envoy over all its restarts and epochs: `exited` is its end for good, `pid` that of the Envoy in charge. */
export interface SupervisedEnvoy extends EnvoyProcess {
  readonly counts: Readonly<SupervisionCounts>;
  /** The last end of the Envoy in charge that nobody asked for; undefined while there was none. */
  readonly lastFailure: EnvoyExit | undefined;
  /** From now on the next end is that for good, and no takeover begins: the agent is about to end Envoy. */
  endSoon(): void;
  /** Waits until a takeover that has begun is over, one way or the other. */
  untilSettled(): Promise<void>;
  /** Whether this is one of Envoy's processes or their helpers, for whose end somebody waits. */
  owns(pid: number): boolean;
  /**
   * Lets a new Envoy, from the binary and bootstrap as they now are, take over listeners and connections. One at a
   * time: while one is under way, further requests share its outcome.
   * @param launch how to run it and those after it; left out, as the one before
   */
  swap(launch?: EnvoyLaunch): Promise<SwapOutcome>;
}

/**
 * Starts Envoy, starts it again after a failure as the configuration allows, and lets new epochs take over.
 * The first start is at once: nothing is loaded or awaited before its exec.
 * @throws EnvoyMissingError when the binary is not there or cannot be executed
 */
export function startEnvoy(config: EnvoyConfig, deps: SupervisorDeps): SupervisedEnvoy {
  return new EnvoySupervisor(config, deps);
}

class EnvoySupervisor implements SupervisedEnvoy {
  readonly counts: SupervisionCounts = { failures: 0, restarts: 0, swaps: 0, refusedSwaps: 0 };
  readonly exited: Promise<EnvoyExit>;
  #config: EnvoyConfig;
  readonly #deps: SupervisorDeps;
  readonly #log: Logger;
  readonly #startedMs: number;
  /** Aborts when no other Envoy is to be started. */
  readonly #lastOne = new AbortController();
  /** Aborts when somebody asks for the end. */
  readonly #ending = new AbortController();
  /** Every Envoy that runs or has not been cleaned up after: the one in charge, and epochs on their way out. */
  readonly #processes = new Set<EnvoyProcess>();
  readonly #restartsMs: number[] = [];
  #epoch = 0;
  #current: EnvoyProcess;
  #exit: EnvoyExit | undefined;
  #swapping: Promise<SwapOutcome> | undefined;
  /** Resolves when another Envoy is in charge. */
  #takenOver = Promise.withResolvers<unknown>();
  #lastFailure: EnvoyExit | undefined;

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

  get exit(): EnvoyExit | undefined {
    return this.#exit;
  }

  get lastFailure(): EnvoyExit | undefined {
    return this.#lastFailure;
  }

  owns(pid: number): boolean {
    return [...this.#processes].some((process) => process.owns(pid));
  }

  async terminate(killAfterMs: number, force?: AbortSignal): Promise<EnvoyExit> {
    await this.#end((process) => process.terminate(killAfterMs, force));
    return await this.exited;
  }

  async kill(): Promise<EnvoyExit> {
    await this.#end((process) => process.kill());
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

  endSoon(): void {
    this.#lastOne.abort(new Error("the agent is ending"));
  }

  async untilSettled(): Promise<void> {
    await this.#swapping?.catch(() => undefined);
  }

  swap(launch: EnvoyLaunch = this.#config): Promise<SwapOutcome> {
    this.#swapping ??= this.#swap(launch).finally(() => {
      this.#swapping = undefined;
    });
    return this.#swapping;
  }

  #isLastOne(): boolean {
    return this.#lastOne.signal.aborted;
  }

  #start(): EnvoyProcess {
    const { hotRestart, args } = this.#config;
    const epoch = hotRestart === undefined ? args : epochArgs(args, hotRestart, this.#epoch);
    const process = startEnvoyProcess({ ...this.#config, args: epoch }, this.#deps);
    this.#processes.add(process);
    return process;
  }

  /** Runs until the Envoy in charge has ended and none follows. */
  async #run(): Promise<EnvoyExit> {
    for (;;) {
      const watched = this.#current;
      await Promise.race([watched.exited, this.#takenOver.promise]);
      if (watched.exit !== undefined) await this.#swapping?.catch(() => undefined);
      const { exit } = watched;
      if (exit === undefined || this.#current !== watched) continue;
      if (!(await this.#restartAfter(exit))) {
        this.#exit = exit;
        await this.#clear();
        return exit;
      }
    }
  }

  /** @returns whether another Envoy runs now */
  async #restartAfter(exit: EnvoyExit): Promise<boolean> {
    const { restarts } = this.#config;
    if (!isWorthRestart(exit) || this.#ending.signal.aborted) return false;
    this.counts.failures++;
    this.#lastFailure = exit;
    if (restarts === undefined || this.#isLastOne()) return false;
    const facts = { exit: describeExit(exit), budget: restarts.budget, windowMs: restarts.windowMs };
    const delayMs = restartDelayMs(this.#restartsMs, this.#deps.clock.monotonicMs(), restarts, this.#deps.random());
    if (delayMs === undefined) {
      this.#log.error("Envoy fails too often and is not started again", facts);
      return false;
    }
    this.#log.warn("Envoy failed and is started again", { ...facts, delayMs: Math.round(delayMs) });
    await this.#deps.clock.delay(delayMs, this.#lastOne.signal).catch(() => undefined);
    if (this.#isLastOne()) return false;
    // an older epoch, which nobody will tell to end any more, holds what the first one needs
    await Promise.all(this.#running().map((process) => process.kill()));
    // the shutdown may have begun during that wait; nothing would end an Envoy that starts now
    if (this.#isLastOne()) return false;
    this.#restartsMs.push(this.#deps.clock.monotonicMs());
    this.#epoch = 0;
    try {
      this.#current = this.#start();
    } catch (error) {
      this.#log.error("Envoy cannot be started again", { error: describeError(error) });
      return false;
    }
    this.counts.restarts++;
    return true;
  }

  async #swap({ binaryPath, args, env }: EnvoyLaunch): Promise<SwapOutcome> {
    const { hotRestart } = this.#config;
    if (hotRestart === undefined) return this.#refuse("hot restart is off; set ATTACHE_HOT_RESTART=true to allow it");
    const tooLate: SwapOutcome = { kind: "refused", reason: "the agent is ending" };
    const { signal: begin } = this.#lastOne;
    if (this.#exit !== undefined || this.#isLastOne() || !(await this.#untilTakenOver())) return tooLate;
    const { startNextEpoch } = await import("./hot-restart.ts");
    const next = { config: { ...this.#config, binaryPath, args, env }, hotRestart, epoch: this.#epoch + 1 };
    const start = await startNextEpoch(next, this.#deps, { begin, finish: this.#ending.signal });
    if (start.kind === "refused" && this.#isLastOne()) return tooLate;
    if (start.kind === "refused") return this.#refuse(start.reason);
    this.#processes.add(start.process);
    this.#retire(this.#current);
    this.#current = start.process;
    this.#config = next.config;
    this.#epoch = next.epoch;
    this.#takenOver.resolve(start.process);
    this.#takenOver = Promise.withResolvers();
    this.counts.swaps++;
    this.#log.info("a new Envoy has taken over", { epoch: next.epoch, pid: start.process.pid });
    return { kind: "swapped", epoch: next.epoch, pid: start.process.pid };
  }

  /** An epoch that was taken over from finishes first: only two may live. @returns false when the end came before */
  async #untilTakenOver(): Promise<boolean> {
    const leaving = [...this.#processes].filter((process) => process !== this.#current);
    const gone = Promise.all(leaving.map((process) => process.exited));
    return await orAborted(gone, this.#lastOne.signal).then(
      () => true,
      () => false,
    );
  }

  #refuse(reason: string): SwapOutcome {
    this.counts.refusedSwaps++;
    this.#log.error("no hot restart; the running Envoy goes on", { reason });
    return { kind: "refused", reason };
  }

  /** The new epoch tells the old one when to end; here it is only cleaned up after. */
  #retire(old: EnvoyProcess): void {
    void old.exited.then(async (exit) => {
      this.#log.info("the Envoy that was taken over from has ended", { pid: old.pid, exit: describeExit(exit) });
      await old[Symbol.asyncDispose]();
      this.#processes.delete(old);
    });
  }

  async #end(how: (process: EnvoyProcess) => Promise<EnvoyExit>): Promise<void> {
    this.endSoon();
    this.#ending.abort(new Error("Envoy is being ended"));
    await this.#swapping?.catch(() => undefined);
    await Promise.all(this.#running().map(how));
  }

  #running(): readonly EnvoyProcess[] {
    return [...this.#processes].filter((process) => process.exit === undefined);
  }

  /** Nothing of older epochs outlives the one in charge. */
  async #clear(): Promise<void> {
    await this.#end((process) => process.kill());
    if (this.#config.hotRestart === undefined) return;
    const { removeSharedMemory } = await import("./hot-restart.ts");
    await removeSharedMemory(this.#config.hotRestart.baseId);
  }
}
