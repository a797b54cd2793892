// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";

/** A process as `/proc` shows it to everybody. */
export interface ProcessFacts {
  readonly pid: number;
  readonly parentPid: number;
  /** The kernel's name of it: at most 15 bytes of the program's name. */
  readonly name: string;
  /** `R`, `S`, `D`, `T` (stopped), `t` (traced), `Z` (zombie), ... */
  readonly state: string;
  /** Seconds between the system's start and the process's. */
  readonly startedAtSeconds: number;
  readonly args: readonly string[];
}

/** Who a process is to the file system. */
export interface User {
  readonly uid: number;
  /** The main group and the others. */
  readonly gids: readonly number[];
}

/** On a machine with more, only the first ones are looked at. */
const mostProcesses = 10_000;

/** The processes of agents and of programs with these names, in this process namespace. */
export async function readProcesses(names: ReadonlySet<string>): Promise<readonly ProcessFacts[]> {
  const entries = await readdir("/proc").catch(() => []);
  const pids = entries.filter((name) => /^\d+$/.test(name)).slice(0, mostProcesses);
  const found = await Promise.all(
    pids.map((pid) => readProcess(Number(pid), (name) => names.has(name) || mayBeAgent(name))),
  );
  return found.filter((facts) => facts !== undefined);
}

/** @returns undefined if there is none, or none with such a name */
export async function readProcess(
  pid: number,
  isWanted: (name: string) => boolean = () => true,
): Promise<ProcessFacts | undefined> {
  const stat = parseStat(await textOf(`/proc/${String(pid)}/stat`));
  if (stat === undefined || !isWanted(stat.name)) return undefined;
  const args = (await textOf(`/proc/${String(pid)}/cmdline`)).split("\0").slice(0, -1);
  return { pid, ...stat, args };
}

/** `USER_HZ`, the same on all architectures that Node.js runs on. */
const ticksPerSecond = 100;

/** Parses `/proc/PID/stat`. The name may have spaces and parentheses. Source: proc(5) */
export function parseStat(text: string): Omit<ProcessFacts, "pid" | "args"> | undefined {
  const [, name, state, parent] = /^\d+ \((.*)\) (\S) (\d+) /s.exec(text) ?? [];
  if (name === undefined || state === undefined) return undefined;
  // behind the name: state is the first field, the start time the twentieth
  const ticks = Number(text.slice(text.lastIndexOf(") ") + 2).split(" ")[19] ?? 0);
  return { name, state, parentPid: Number(parent), startedAtSeconds: ticks / ticksPerSecond };
}

/** Node.js calls all of its programs the same. */
function mayBeAgent(name: string): boolean {
  return /^(node|attache|pilot-agent|MainThread)/.test(name);
}

/** Whether a command line is that of an agent: `attache proxy sidecar`, however the program was started. */
export function isAgent({ args }: Pick<ProcessFacts, "args">): boolean {
  const at = args.indexOf("proxy");
  return at > 0 && /^(attache|pilot-agent)/.test(basename(args[at - 1] ?? ""));
}

/** The working directory of a process; undefined if it is another user's. */
export async function readWorkingDirectory(pid: number): Promise<string | undefined> {
  return await readlink(`/proc/${String(pid)}/cwd`).catch(() => undefined);
}

/** The effective user of a process; undefined when it is gone. */
export async function readUser(pid: number | "self"): Promise<User | undefined> {
  return parseUser(await textOf(`/proc/${String(pid)}/status`));
}

/** Parses `/proc/PID/status`. Source: proc(5): real, effective, saved and file system ids */
export function parseUser(status: string): User | undefined {
  const numbers = (name: string): readonly number[] =>
    (new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1] ?? "").split(/\s+/).filter(Boolean).map(Number);
  const [, uid] = numbers("Uid");
  const [, gid] = numbers("Gid");
  if (uid === undefined || gid === undefined) return undefined;
  return { uid, gids: [...new Set([gid, ...numbers("Groups")])] };
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}
