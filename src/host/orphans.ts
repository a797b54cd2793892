// SPDX-License-Identifier: Apache-2.0
import { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import { startTask } from "../lib/async/tasks.ts";
import type { SystemCalls } from "./system-calls.ts";

export interface OrphanDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly calls: Pick<SystemCalls, "nextExitedChild" | "reap">;
  /** Whether Node.js waits for this process itself: if it were reaped here, its exit code would be lost. */
  readonly isOwnChild: (pid: number) => boolean;
  /** Emits SIGCHLD: the process, or a fake. */
  readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
}

/** Node.js reaps its own children first; what is left after this time was adopted. */
const settleMs = 50;
/** Interval of checks without a signal: two exits may cause only one SIGCHLD. */
const pollIntervalMs = 30_000;
/** Maximum in one turn of the event loop; each takes a few microseconds. */
const maxPerTurn = 200;

/**
 * Reaps orphans, as process 1 must: no other process waits for them, and each would stay in the process table as a
 * zombie.
 */
export function startReaping(deps: OrphanDeps): AsyncDisposable {
  const exits = new EventTarget();
  const onExit = (): void => {
    exits.dispatchEvent(new Event("child"));
  };
  deps.signals.on("SIGCHLD", onExit);
  const task = startTask(
    (stop) => reapUntil(stop, exits, deps),
    () => undefined,
  );
  return {
    async [Symbol.asyncDispose]() {
      deps.signals.off("SIGCHLD", onExit);
      await task[Symbol.asyncDispose]();
    },
  };
}

async function reapUntil(
  stop: AbortSignal,
  exits: EventTarget,
  { log, clock, calls, isOwnChild }: OrphanDeps,
): Promise<void> {
  while (!stop.aborted) {
    const { reaped, more } = reapSome(calls, isOwnChild);
    if (reaped > 0) log.debug("orphans reaped", { reaped });
    if (more) {
      await clock.delay(0, stop);
    } else {
      await untilChildExits(exits, clock, stop);
      await clock.delay(settleMs, stop);
    }
  }
}

/** @returns how many were reaped, and whether there may be more right now */
function reapSome(
  calls: OrphanDeps["calls"],
  isOwnChild: OrphanDeps["isOwnChild"],
): { readonly reaped: number; readonly more: boolean } {
  for (let reaped = 0; reaped < maxPerTurn; reaped++) {
    const pid = calls.nextExitedChild();
    if (pid === undefined || isOwnChild(pid)) return { reaped, more: false };
    calls.reap(pid);
  }
  return { reaped: maxPerTurn, more: true };
}

async function untilChildExits(exits: EventTarget, clock: Clock, stop: AbortSignal): Promise<void> {
  const done = new AbortController();
  const onChild = (): void => {
    done.abort();
  };
  exits.addEventListener("child", onChild, { once: true });
  await clock.delay(pollIntervalMs, AbortSignal.any([stop, done.signal])).catch(() => undefined);
  exits.removeEventListener("child", onChild);
}

/** Node.js publishes every child process here. Source: Node.js documentation of diagnostics_channel */
const channel = "child_process";

/** The running children that Node.js waits for. */
export interface OwnChildren extends Disposable {
  has(pid: number): boolean;
}

/**
 * Follows every child that this process starts from now on: probes, validations, Envoy itself. To reap one of them here
 * would leave its `exit` event waiting forever.
 */
export function watchOwnChildren(): OwnChildren {
  const children = new Set<ChildProcess>();
  const onCreated = (message: unknown): void => {
    const child = childOf(message);
    if (child === undefined) return;
    children.add(child);
    const remove = (): void => {
      children.delete(child);
    };
    // the process id is set later, and never if the program cannot be executed
    child.once("exit", remove);
    child.once("error", remove);
  };
  subscribe(channel, onCreated);
  return {
    has: (pid) => [...children].some((child) => child.pid === pid),
    [Symbol.dispose]() {
      unsubscribe(channel, onCreated);
    },
  };
}

function childOf(message: unknown): ChildProcess | undefined {
  if (typeof message !== "object" || message === null || !("process" in message)) return undefined;
  return message.process instanceof ChildProcess ? message.process : undefined;
}
