// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
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
let before: ReadonlyMap<string, number>;

/** What may stay open: output streams, and what the engine itself holds. */
const harmless = new Set(["TTYWrap", "PipeWrap", "FSReqCallback", "FSReqPromise", "CloseReq", "Immediate"]);

beforeAll(() => {
  mkdirSync(own, { mode: 0o700, recursive: true });
  process.env["TMPDIR"] = own;
  before = openResources();
});

afterAll(async () => {
  try {
    await eventually(assertNothingLeft, { withinMs: 2_000, everyMs: 20 });
  } finally {
    for (const { pid } of descendants()) end(pid);
    rmSync(own, { recursive: true, force: true });
    process.env["TMPDIR"] = original;
  }
});

function assertNothingLeft(): void {
  const left = [
    ...descendants().map(({ pid, command }) => `process ${String(pid)} (${command})`),
    ...newResources().map((name) => `open ${name}`),
    ...readdirSync(own).map((name) => `temporary file or directory ${join(own, name)}`),
  ];
  if (left.length > 0) throw new Error(`this test file leaves behind: ${left.join(", ")}`);
}

function openResources(): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const name of process.getActiveResourcesInfo()) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

function newResources(): readonly string[] {
  return (
    [...openResources()]
      .filter(([name, count]) => count > (before.get(name) ?? 0) && !harmless.has(name))
      // the wait in `eventually` is itself one timer, which has ended when this runs
      .map(([name, count]) => `${name} (${String(count - (before.get(name) ?? 0))})`)
  );
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
