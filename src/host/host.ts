// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import { startTask } from "../lib/async/tasks.ts";
import type { HostConfig } from "./host-config.ts";
import { parseLimits, type ProcessLimits } from "../lib/process-limits.ts";
import { type MemoryEvents, readMemoryEvents } from "./memory-events.ts";
import { startReaping } from "./orphans.ts";
import { watchOwnChildren } from "./own-children.ts";
import { loadSystemCalls, type SystemCalls } from "./system-calls.ts";

export interface HostDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Children from before that the runtime waits for; later ones are known. */
  readonly isOwnChild: (pid: number) => boolean;
  /** Whether orphans come to this process: it is process 1, or a subreaper. */
  readonly adoptsOrphans: boolean;
}

/** The machine's side of the agent's life. Disposing it ends the reaping of orphans. */
export interface Host extends AsyncDisposable {
  /** Processes that the memory controller has killed since the start; 0 where it does not tell. */
  oomKillsSinceStart(): Promise<number>;
  /** Undefined where the system does not tell. */
  readMemoryEvents(): Promise<MemoryEvents | undefined>;
}

/**
 * Looks after what the machine allows and brings: file limits told, core files forbidden, orphans reaped, kills for
 * lack of memory counted. To be started after Envoy's exec; nothing here is needed for it.
 * @param envoyPid whose limits to look after besides the agent's own
 */
export async function startHost(config: HostConfig, envoyPid: number, deps: HostDeps): Promise<Host> {
  const log = deps.log.scope("host");
  const before = await readMemoryEvents();
  const limits = await readLimits(envoyPid);
  if (limits !== undefined)
    log.debug("limits", { openFiles: limits.openFiles.soft, openFilesHard: limits.openFiles.hard });
  const exposed = config.coreDumps ? [] : await withCoreFiles([process.pid, envoyPid]);
  const calls = exposed.length > 0 || deps.adoptsOrphans ? await loadSystemCalls() : undefined;
  forbidCoreFiles(exposed, calls, log);
  await using started = new AsyncDisposableStack();
  if (deps.adoptsOrphans) started.use(reapWith(calls, deps, log));
  started.use(watchMemory(before, deps.clock, log));
  const running = started.move();
  return {
    async oomKillsSinceStart() {
      return Math.max(0, ((await readMemoryEvents())?.oomKills ?? 0) - (before?.oomKills ?? 0));
    },
    readMemoryEvents: () => readMemoryEvents(),
    async [Symbol.asyncDispose]() {
      await running.disposeAsync();
    },
  };
}

const memoryLookEveryMs = 10_000;

/** Says when the memory limit is hit, which comes before a kill. */
function watchMemory(before: MemoryEvents | undefined, clock: Clock, log: Logger): AsyncDisposable {
  return startTask(
    async (stop) => {
      for (let last = before; last !== undefined && !stop.aborted; ) {
        await clock.delay(memoryLookEveryMs, stop);
        const events = await readMemoryEvents();
        const limitHits = (events?.limitHits ?? 0) - last.limitHits;
        const oomKills = (events?.oomKills ?? 0) - last.oomKills;
        if (limitHits > 0 || oomKills > 0) log.warn("the memory limit was hit; raise it", { limitHits, oomKills });
        last = events ?? last;
      }
    },
    () => undefined,
  );
}

/** The runtime raises the soft limit of open files to the hard one by itself when it starts; Envoy inherits that. */
async function readLimits(pid: number): Promise<ProcessLimits | undefined> {
  const text = await readFile(`/proc/${String(pid)}/limits`, "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseLimits(text);
}

const none = { soft: 0 };

/** Those of the processes of which the system may write core files. */
async function withCoreFiles(pids: readonly number[]): Promise<readonly number[]> {
  const limits = await Promise.all(pids.map(readLimits));
  // a process without limits is gone already
  return pids.filter((_pid, index) => (limits[index]?.coreFileBytes ?? none).soft !== 0);
}

function forbidCoreFiles(pids: readonly number[], calls: SystemCalls | undefined, log: Logger): void {
  const allowed = pids.filter((pid) => calls?.forbidCoreFiles(pid) !== true);
  if (allowed.length > 0) {
    log.warn("core files of these processes may hold private keys; set the limit on core files to 0", {
      pids: allowed,
    });
  }
}

function reapWith(calls: SystemCalls | undefined, deps: HostDeps, log: Logger): AsyncDisposable | undefined {
  if (calls === undefined) {
    log.info("this runtime cannot reap adopted processes; they stay zombies until the container ends");
    return undefined;
  }
  const started = new AsyncDisposableStack();
  const own = started.use(watchOwnChildren());
  const isOwnChild = (pid: number): boolean => deps.isOwnChild(pid) || own.has(pid);
  started.use(startReaping({ log, clock: deps.clock, calls, isOwnChild, signals: process }));
  return started;
}
