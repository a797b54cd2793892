// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { eventually } from "./eventually.ts";

/**
 * Fails a test file that leaves something behind: a child process (also one whose parent is gone), a socket, server,
 * pipe or timer of this process, a temporary directory. Every file gets a temporary directory of its own through
 * TMPDIR; processes are known by it, because they inherit it.
 */
const original = tmpdir();
const own = join(original, `at-${String(process.pid)}`);
let socketsBefore: ReadonlySet<string>;

/** Timers made by the product and its tests; the runner has taken the real functions before. */
const timers = new Set<{ readonly handle: NodeJS.Timeout; readonly madeAt: string }>();
const undo = [watchTimers("setTimeout"), watchTimers("setInterval")];

beforeAll(() => {
  mkdirSync(own, { mode: 0o700, recursive: true });
  process.env["TMPDIR"] = own;
  timers.clear();
  socketsBefore = new Set(openSockets());
});

afterAll(async () => {
  try {
    await eventually(assertNothingLeft, { withinMs: 2_000, everyMs: 20 });
  } finally {
    for (const restore of undo) restore();
    for (const { pid } of descendants()) end(pid);
    rmSync(own, { recursive: true, force: true });
    process.env["TMPDIR"] = original;
  }
});

function assertNothingLeft(): void {
  const left = [
    ...descendants().map(({ pid, command }) => `process ${String(pid)} (${command})`),
    ...openSockets().filter((socket) => !socketsBefore.has(socket)),
    ...openTimers(),
    ...openServersAndWatchers(),
    ...readdirSync(own).map((name) => `temporary file or directory ${join(own, name)}`),
  ];
  if (left.length > 0) throw new Error(`this test file leaves behind: ${left.join(", ")}`);
}

/** Also those that do not keep the process alive. */
function openSockets(): readonly string[] {
  return readdirSync("/proc/self/fd")
    .map(targetOf)
    .filter((target) => target.startsWith("socket:"));
}

/** Replaces a global function by one that also remembers the timer; returns what undoes it. */
function watchTimers(name: "setTimeout" | "setInterval"): () => void {
  const original = Object.getOwnPropertyDescriptor(globalThis, name) ?? {};
  const make = globalThis[name] as (...args: unknown[]) => NodeJS.Timeout;
  const watched = (...args: unknown[]): NodeJS.Timeout => {
    const handle = make(...args);
    timers.add({ handle, madeAt: new Error().stack?.split("\n")[2]?.trim() ?? "" });
    return handle;
  };
  Object.defineProperties(watched, Object.getOwnPropertyDescriptors(make));
  Object.defineProperty(globalThis, name, { ...original, value: watched });
  return () => {
    Object.defineProperty(globalThis, name, original);
  };
}

function openTimers(): readonly string[] {
  return [...timers]
    .filter(({ handle }) => !(handle as NodeJS.Timeout & { readonly _destroyed: boolean })._destroyed)
    .map(({ madeAt }) => `timer made ${madeAt}`);
}

function openServersAndWatchers(): readonly string[] {
  return process.getActiveResourcesInfo().filter((name) => /Server|Watcher|FSEvent|StatWatcher|DNS|Worker/.test(name));
}

/** A descriptor that is closed while it is looked at has no target. */
function targetOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return "";
  }
}

function descendants(): readonly { readonly pid: number; readonly command: string }[] {
  const mark = `TMPDIR=${own}`;
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .filter((name) => isOurs(name, mark))
    .map((name) => ({ pid: Number(name), command: commandOf(name) }));
}

function isOurs(pid: string, mark: string): boolean {
  const environment = readProcess(pid, "environ").split("\0");
  if (environment.some((entry) => entry === mark || entry.startsWith(`${mark}/`))) return true;
  const [state, parent] = readProcess(pid, "stat")
    .replace(/^.*\) /s, "")
    .split(" ");
  return state !== undefined && state !== "" && parent === String(process.pid);
}

function commandOf(pid: string): string {
  return readProcess(pid, "cmdline").split("\0").slice(0, 3).join(" ").trim() || "a zombie";
}

/** A process that ends while it is looked at has no text. */
function readProcess(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}
