// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import { promisify } from "node:util";

/** Where and of what the figures are. */
export interface Machine {
  /** With a `+` when files differ from it. */
  readonly commit: string;
  readonly date: string;
  readonly processors: number;
  readonly processor: string;
  readonly memoryMb: number;
  readonly kernel: string;
  readonly node: string;
}

export async function describeMachine(): Promise<Machine> {
  const [first] = cpus();
  return {
    commit: await commit(),
    date: new Date().toISOString().slice(0, 10),
    processors: cpus().length,
    processor: first?.model ?? "",
    memoryMb: Math.round(totalmem() / 1e6),
    kernel: release(),
    node: process.version,
  };
}

async function commit(): Promise<string> {
  try {
    const run = promisify(execFile);
    const cwd = import.meta.dirname;
    const head = await run("git", ["rev-parse", "--short", "HEAD"], { cwd });
    const changes = await run("git", ["status", "--porcelain", "--untracked-files=no"], { cwd });
    return `${head.stdout.trim()}${changes.stdout === "" ? "" : "+"}`;
  } catch {
    return "unknown";
  }
}
