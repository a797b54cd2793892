// SPDX-License-Identifier: Apache-2.0
// What a command costs as a whole process, from its start to its end.
import { execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** All runs one after the other; the last line of the error output has the shell's count for all of them. */
const script = `
TIMEFORMAT="%3R %3U %3S"; runs=$1; shift
time for ((run = 0; run < runs; run++)); do "$@" || exit 1; done
`;

export interface WholeRuns {
  /** Processor time of one run with all its threads, in ms. */
  readonly processorMs: number;
  readonly ms: number;
  /** Of all runs. */
  readonly output: string;
}

/** @throws when a run ends with another exit code than 0 */
export async function timeRuns(words: readonly string[], runs: number): Promise<WholeRuns> {
  const args = ["-c", script, "bash", String(runs), ...words];
  const { stdout, stderr } = await execute("bash", args, { env: environment() });
  return { ...parseShellTimes(stderr, runs), output: stdout };
}

/** @param text whose last line has seconds in all, of user and of system */
export function parseShellTimes(text: string, runs: number): Omit<WholeRuns, "output"> {
  const seconds = (text.trimEnd().split("\n").at(-1) ?? "").split(" ").map(Number);
  const [real = Number.NaN, user = Number.NaN, system = Number.NaN] = seconds;
  return { ms: (real * 1_000) / runs, processorMs: ((user + system) * 1_000) / runs };
}

/**
 * Most private memory that one run has, in megabytes (10^6 bytes): the kernel's count is read in each turn of the event loop.
 * The kernel keeps the peak only of all memory, with that of the program's file.
 * @throws when the exit code is not 0
 */
export async function peakPrivateMegabytes([program = "", ...args]: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: "ignore", env: environment() });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("exit", resolve);
    child.once("error", reject);
  });
  let peak = 0;
  while (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
    peak = Math.max(peak, anonymousMegabytes(child.pid));
    await nextTurn();
  }
  const code = await ended;
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} ended with exit code ${String(code)}`);
  return peak;
}

/** @returns 0 for a process that has ended */
function anonymousMegabytes(pid: number): number {
  const text = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  const [, kibibytes = "0"] = /^RssAnon:\s+(\d+) kB$/m.exec(text) ?? [];
  return (Number(kibibytes) * 1_024) / 1e6;
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env["PATH"] };
}
