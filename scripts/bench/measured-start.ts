// SPDX-License-Identifier: Apache-2.0
// The moments of a start, the same ones for the agent and its peer.
import { existsSync, mkdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { envoyBinary } from "../../test/support/envoy-binary.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Pod } from "../../test/support/pod.ts";
import { type BenchPodOptions, startBenchPod } from "./bench-pod.ts";
import { parseSchedstat, processorMs } from "./processes.ts";

/** Less often than what is measured takes, because each question costs the agent processor time. */
const everyMs = 10;

export interface MeasuredStart {
  /** From the start of the program, in ms. */
  readonly execMs: number;
  readonly firstSecretMs: number;
  readonly readyMs: number;
  /** Processor time of the agent alone until Envoy's exec, in ms. */
  readonly processorMsToExec: number;
  /** The same until it is ready. */
  readonly processorMs: number;
}

/**
 * Starts a pod, whose Envoy is announced by a file that a shell script makes before it becomes the real one: the time to
 * Envoy's exec has the start of a shell in it, about 1 ms. The kubelet's question is asked every 10 ms.
 * @param use what to do with the pod once it is ready; it is killed afterwards
 */
export async function measureStart<T>(
  options: BenchPodOptions,
  use: (pod: Pod, start: MeasuredStart) => Promise<T>,
): Promise<T> {
  await using stack = new AsyncDisposableStack();
  let startMs = 0;
  let execMs = Number.NaN;
  const pod = stack.use(
    await startBenchPod({
      ...options,
      proxyConfig: { binaryPath: "./envoy", ...options.proxyConfig },
      prepare: async (place) => {
        await options.prepare?.(place);
        const marks = join(place.directory, "marks");
        mkdirSync(marks);
        const script = `#!/bin/sh\ncase "$*" in *--version*) ;; *) : >${marks}/exec; cat /proc/$PPID/task/*/schedstat >${marks}/schedstat ;; esac\nexec ${envoyBinary()} "$@"\n`;
        writeFileSync(join(place.directory, "envoy"), script, { mode: 0o755 });
        const watcher = watch(marks, () => {
          if (Number.isNaN(execMs) && existsSync(join(marks, "exec"))) execMs = performance.now() - startMs;
        });
        stack.defer(() => {
          watcher.close();
        });
        startMs = performance.now();
      },
    }),
  );
  const since = async (happened: () => Promise<boolean>): Promise<number> => {
    await eventually(
      async () => {
        if (!(await happened())) throw new Error(`not within the time; the log ends:\n${pod.log().slice(-3_000)}`);
      },
      { withinMs: 60_000, everyMs },
    );
    return performance.now() - startMs;
  };
  const [firstSecretMs, readyMs] = await Promise.all([
    since(async () => (await pod.serials()).length > 0),
    since(() => answers(pod.ports.status, "/healthz/ready")),
  ]);
  // of the moment when both hold, which is the same for the agent and its peer
  const toReady = processorMs(pod.pid);
  const processorMsToExec = parseSchedstat(readFileSync(join(pod.directory, "marks/schedstat"), "utf8"));
  return await use(pod, { execMs, firstSecretMs, readyMs, processorMsToExec, processorMs: toReady });
}

/** Whether a request is answered with 200, on a connection of its own as the kubelet's. */
export async function answers(port: number, path: string): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${String(port)}${path}`, { headers: { connection: "close" } });
    await response.body?.cancel();
    return response.status === 200;
  } catch {
    return false;
  }
}

/** Processor time of a process in the time from now, in ms. */
export async function processorMsWithin(pid: number, durationMs: number): Promise<number> {
  const before = processorMs(pid);
  await pause(durationMs);
  return processorMs(pid) - before;
}
