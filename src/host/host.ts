// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import type { Clock } from "../lib/async/clock.ts";
import { startTask } from "../lib/async/tasks.ts";
import { exitCode } from "../lib/exit-code.ts";
import type { Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { parseLimits, type ProcessLimits } from "../lib/process-limits.ts";
import { type MemoryEvents, readMemoryEvents } from "./memory-events.ts";
import { startReaping, watchOwnChildren } from "./orphans.ts";
import { loadSystemCalls, type SystemCalls } from "./system-calls.ts";

export interface HostConfig {
  /** Lets the system write core files of agent and Envoy, which contain private keys. */
  readonly coreDumps: boolean;
}

export interface HostDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Whether a child from before the start is one that Node.js waits for; later children are known. */
  readonly isOwnChild: (pid: number) => boolean;
  /** Whether this process adopts orphans: it is process 1, or a subreaper. */
  readonly adoptsOrphans: boolean;
}

/** The agent's observation of its host: memory, limits, orphans. */
export interface Host extends AsyncDisposable {
  /** Processes that the memory controller has killed since the start; 0 if the system does not report it. */
  oomKillsSinceStart(): Promise<number>;
  /** Undefined if the system does not report them. */
  readMemoryEvents(): Promise<MemoryEvents | undefined>;
}

/**
 * Logs the file limits, forbids core files, reaps orphans, and counts out-of-memory kills. Start it after Envoy's exec,
 * which needs nothing of it.
 * @param envoyPid core files of this process are forbidden too
 */
export async function startHost(config: HostConfig, envoyPid: number, deps: HostDeps): Promise<Host> {
  const log = deps.log.scope("host");
  const before = await readMemoryEvents();
  const limits = await readLimits(envoyPid);
  if (limits !== undefined)
    log.debug("open file limits", { openFiles: limits.openFiles.soft, openFilesHard: limits.openFiles.hard });
  const exposed = config.coreDumps ? [] : await withCoreFiles([process.pid, envoyPid]);
  const calls = exposed.length > 0 || deps.adoptsOrphans ? await loadSystemCalls() : undefined;
  forbidCoreFiles(exposed, calls, log);
  await using started = new AsyncDisposableStack();
  // With core files enabled the signal stays: the system writes one only for it.
  if (!config.coreDumps && deps.adoptsOrphans) calls?.exitOnAbort(exitCode.internal);
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

const memoryPollMs = 10_000;

/** Warns when the memory limit is reached, which happens before a kill. */
function watchMemory(before: MemoryEvents | undefined, clock: Clock, log: Logger): AsyncDisposable {
  return startTask(
    async (stop) => {
      using outage = new OutageLog(log, clock);
      for (let last = before; last !== undefined && !stop.aborted; ) {
        await clock.delay(memoryPollMs, stop);
        const events = await readMemoryEvents();
        const limitHits = (events?.limitHits ?? 0) - last.limitHits;
        const oomKills = (events?.oomKills ?? 0) - last.oomKills;
        const message = "container reached its memory limit; raise the limit";
        if (limitHits > 0 || oomKills > 0) outage.failed({ level: "warn", message, fields: { limitHits, oomKills } });
        else outage.works();
        last = events ?? last;
      }
    },
    () => undefined,
  );
}

/** Node.js raises the soft limit of open files to the hard limit when it starts; Envoy inherits that. */
async function readLimits(pid: number): Promise<ProcessLimits | undefined> {
  const text = await readFile(`/proc/${String(pid)}/limits`, "utf8").catch(() => undefined);
  return text === undefined ? undefined : parseLimits(text);
}

/** The processes whose core files the system may write. */
async function withCoreFiles(pids: readonly number[]): Promise<readonly number[]> {
  const limits = await Promise.all(pids.map(readLimits));
  return pids.filter((_pid, index) => {
    const limit = limits[index];
    // a process without limits has exited
    return limit !== undefined && limit.coreFileBytes.soft !== 0;
  });
}

function forbidCoreFiles(pids: readonly number[], calls: SystemCalls | undefined, log: Logger): void {
  const allowed = pids.filter((pid) => calls?.forbidCoreFiles(pid) !== true);
  if (allowed.length > 0) {
    log.warn("core files of these processes may contain private keys; set their core file limit to 0", {
      pids: allowed,
    });
  }
}

function reapWith(calls: SystemCalls | undefined, deps: HostDeps, log: Logger): AsyncDisposable | undefined {
  if (calls === undefined) {
    log.info("this Node.js cannot reap orphaned processes; they stay zombies until the container exits");
    return undefined;
  }
  const started = new AsyncDisposableStack();
  const own = started.use(watchOwnChildren());
  const isOwnChild = (pid: number): boolean => deps.isOwnChild(pid) || own.has(pid);
  started.use(startReaping({ log, clock: deps.clock, calls, isOwnChild, signals: process }));
  return started;
}
