// SPDX-License-Identifier: Apache-2.0
// How much of the machine other work had while a suite ran: its figures say nothing then.
import { join } from "node:path";
import { startProgram } from "./child-program.ts";

/** Processor time of other work above this share of one processor makes the machine busy. */
export const busyShare = 0.15;

/** A process as proc_pid_stat(5) has it. */
export interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  /** In ticks since the boot: tells a process from a later one with the same id. */
  readonly started: number;
  /** User and system time in ticks, with that of the children that it has waited for. */
  readonly ticks: number;
}

/** Processor time of a process and of all that it has started, also of those whose parents have ended without them. */
export class FamilyTime {
  readonly #root: number;
  /** By process; the last look at each. */
  #members = new Map<string, ProcessStat>();
  #lostTicks = 0;

  constructor(root: number) {
    this.#root = root;
  }

  /** @param all every process there is @returns ticks so far */
  update(all: readonly ProcessStat[]): number {
    const byPid = new Map(all.map((stat) => [stat.pid, stat]));
    const members = new Map<string, ProcessStat>();
    const belongs = (stat: ProcessStat | undefined): boolean => {
      if (stat === undefined || stat.pid <= 1) return false;
      return stat.pid === this.#root || this.#members.has(keyOf(stat)) || belongs(byPid.get(stat.parent));
    };
    for (const stat of all) if (belongs(stat)) members.set(keyOf(stat), stat);
    for (const [key, gone] of this.#members) {
      // a parent that lives has waited for it, and has its time
      const parent = byPid.get(gone.parent);
      const wasWaitedFor = parent !== undefined && members.has(keyOf(parent));
      if (!members.has(key) && !wasWaitedFor) this.#lostTicks += gone.ticks;
    }
    this.#members = members;
    return this.#lostTicks + [...members.values()].reduce((sum, { ticks }) => sum + ticks, 0);
  }
}

function keyOf({ pid, started }: ProcessStat): string {
  return `${String(pid)} ${String(started)}`;
}

/** @returns undefined for the text of a process that has just ended */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const pid = Number.parseInt(text, 10);
  const fields = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [parent, user, system, childrenUser, childrenSystem, started] = [1, 11, 12, 13, 14, 19].map(
    (index) => fields[index] ?? Number.NaN,
  ) as [number, number, number, number, number, number];
  const ticks = user + system + childrenUser + childrenSystem;
  return Number.isNaN(pid + parent + ticks + started) ? undefined : { pid, parent, started, ticks };
}

/**
 * @param text of /proc/stat
 * @returns ticks in which a processor worked for a process, or was taken away by the host
 */
export function parseBusyTicks(text: string): number {
  const [, user = 0, nice = 0, system = 0, , , , , steal = 0] = text.split("\n")[0]?.split(/ +/).map(Number) ?? [];
  return user + nice + system + steal;
}

/** The watch of the machine, from its start on. */
export interface MachineWatch extends AsyncDisposable {
  /** Ends it. @returns the processor time of other work, as a share of one processor */
  stop(): Promise<number>;
}

/** In a process of its own, which takes no time of a bench that is a client itself. */
export async function watchMachine(): Promise<MachineWatch> {
  const watch = await startProgram(join(import.meta.dirname, "machine-load-program.ts"), [String(process.pid)]);
  return {
    stop: async () => (await watch.ask("stop")) as number,
    [Symbol.asyncDispose]: () => watch[Symbol.asyncDispose](),
  };
}
