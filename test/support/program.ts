// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { envoyBinary } from "./envoy-binary.ts";

export interface ProgramExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The built program as a child process. Disposing it kills it, if it still runs. */
export interface RunningProgram extends AsyncDisposable {
  readonly pid: number;
  /** What it has written so far. */
  output(): { readonly stdout: string; readonly stderr: string };
  readonly exited: Promise<ProgramExit>;
  kill(signal: NodeJS.Signals): void;
}

const launcher = join(import.meta.dirname, "../../bin/attache");

/** @param env added to what every program needs, and to the path of the tests' Envoy */
export function startProgram(args: readonly string[], env: Readonly<Record<string, string>> = {}): RunningProgram {
  const child: ChildProcess = spawn(launcher, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], TMPDIR: tmpdir(), ENVOY_PATH: envoyBinary(), ...env },
  });
  const parts = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (parts.stdout += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (parts.stderr += text));
  const exited = new Promise<ProgramExit>((resolve) => {
    child.once("close", (code, signal) => {
      resolve({ code, signal, ...parts });
    });
  });
  return {
    pid: child.pid ?? 0,
    output: () => ({ ...parts }),
    exited,
    kill: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
