// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export interface ProbeTarget {
  readonly url: string;
  /** Of the process that answers: its time is counted without that in which other work had the processors. */
  readonly pid?: number;
}

/** Probes in a process of its own, so that the work of the test or bench itself is not measured. */
export interface Prober extends AsyncDisposable {
  /**
   * Ends it.
   * @returns for each target what its probes took, in milliseconds, ascending
   * @throws when a probe was answered by anything but 200
   */
  stop(): Promise<readonly (readonly number[])[]>;
}

interface Outcome {
  readonly durationsMs: readonly number[][];
  readonly failure?: string;
}

const program = fileURLToPath(new URL("./prober-program.ts", import.meta.url));

export async function startProber(targets: readonly ProbeTarget[]): Promise<Prober> {
  const child = fork(program, [JSON.stringify(targets)], {
    execArgv: [],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const exited = once(child, "exit");
  await once(child, "message");
  const outcome = once(child, "message");
  return {
    async stop() {
      if (child.connected) child.send("stop");
      const [{ durationsMs, failure }] = (await outcome) as [Outcome];
      await exited;
      if (failure !== undefined) throw new Error(failure);
      return durationsMs.map((values) => values.toSorted((a, b) => a - b));
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** @param ascending as `stop` gives them @param share such as 0.99 */
export function percentile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(ascending.length * share))] ?? Number.NaN;
}
