// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { StatusConfig } from "../../src/status/index.ts";
import { engineEnv, engineFlags } from "./agent-engine.ts";

/** A status server in a process of its own, started with the product's flags, so that its memory can be measured. */
export interface StatusChild extends AsyncDisposable {
  readonly port: number;
  readonly pid: number;
  /** Private memory in bytes. */
  privateBytes(): number;
  /** What is reachable, in bytes: the heap after a garbage collection, and the buffers outside of it. */
  keptBytes(): Promise<number>;
  /** The longest turn of its event loop since the call before, in ms of processor time. Meaningless for the first. */
  longestTurnMs(): Promise<number>;
  /** The most private memory seen until it is disposed, looked at every few milliseconds. */
  watchPeak(): { readonly bytes: () => number } & Disposable;
  /** How many files and sockets it has open. */
  openFiles(): number;
  /** Processor time used so far, of all its threads. */
  cpuMs(): number;
}

export const statusProgram = fileURLToPath(new URL("./status-child-program.ts", import.meta.url));

/** @param path of the program; a benchmark gives the bundled one */
export function startStatusChild(config: Partial<StatusConfig> = {}, path = statusProgram): Promise<StatusChild> {
  return startMeasured(path, [JSON.stringify(config)]);
}

/** A bare HTTP server, measured in the same way. */
export function startBareChild(): Promise<StatusChild> {
  return startMeasured(fileURLToPath(new URL("./bare-server.ts", import.meta.url)), []);
}

async function startMeasured(path: string, args: readonly string[]): Promise<StatusChild> {
  const child = fork(path, args, {
    execArgv: [...engineFlags],
    env: { ...process.env, ...engineEnv },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const [port] = (await once(child, "message")) as [number];
  const pid = child.pid ?? 0;
  const ask = async (what: string): Promise<number> => {
    const answer = once(child, "message");
    child.send(what);
    const [measured] = (await answer) as [number];
    return measured;
  };
  return {
    port,
    pid,
    privateBytes: () => privateBytes(pid),
    keptBytes: () => ask("collect"),
    longestTurnMs: () => ask("longest turn"),
    watchPeak() {
      let peak = privateBytes(pid);
      const timer = setInterval(() => {
        peak = Math.max(peak, privateBytes(pid));
      }, 5);
      return {
        bytes: () => peak,
        [Symbol.dispose]: () => {
          clearInterval(timer);
        },
      };
    },
    openFiles: () => readdirSync(`/proc/${String(pid)}/fd`).length,
    cpuMs: () => cpuMs(pid),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

/** Source: proc_pid_status(5), RssAnon */
export function privateBytes(pid: number): number {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

/** User and system time used so far. Source: proc_pid_stat(5), fields 14 and 15 in ticks of 10 ms */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
