// SPDX-License-Identifier: Apache-2.0
import { basename, dirname, join } from "node:path";
import type { Clock } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { EnvoyAdmin } from "./envoy-admin.ts";
import { type MeshPorts, type WorkloadName, workloadNames } from "./mesh.ts";
import { installResource, placeholdersOf } from "./resources.ts";

export interface ResourceWatch {
  /** The readable files, one folder for each workload. */
  readonly from: string;
  /** Where a workload's Envoy reads them. */
  readonly to: (workload: WorkloadName) => string;
  readonly ports: MeshPorts;
  /** Told of every edit, what became of it. */
  readonly say: (text: string) => void;
}

const lookEveryMs = 50;
const looks = 40;

/**
 * Brings every edit of the readable files to the running Envoys. A file that cannot be used, or that Envoy does not
 * take, is told of; the mesh goes on with what it had.
 */
export async function startResourceWatch(
  watch: ResourceWatch,
  clock: Clock,
  stop: AbortSignal,
): Promise<AsyncDisposable> {
  const { watch: watchFiles } = await import("chokidar");
  const folders = workloadNames.map((workload) => join(watch.from, workload));
  const files = watchFiles(folders, {
    ignoreInitial: true,
    depth: 0,
    awaitWriteFinish: { stabilityThreshold: 60, pollInterval: 20 },
  });
  const onEdit = (path: string): void => {
    const workload = workloadNames.find((name) => name === basename(dirname(path)));
    if (workload === undefined || !path.endsWith(".yaml")) return;
    void apply(watch, workload, path, clock, stop).then(watch.say);
  };
  files.on("change", onEdit);
  files.on("add", onEdit);
  files.on("error", (error) => {
    watch.say(`edits are not seen any more: ${describeError(error)}`);
  });
  await new Promise<void>((resolve) => files.once("ready", resolve));
  return {
    [Symbol.asyncDispose]: () => files.close(),
  };
}

/** Never throws: whatever went wrong is what is said. */
async function apply(
  watch: ResourceWatch,
  workload: WorkloadName,
  path: string,
  clock: Clock,
  stop: AbortSignal,
): Promise<string> {
  const name = `${workload}/${basename(path)}`;
  const startMs = clock.monotonicMs();
  try {
    const to = watch.to(workload);
    const { version } = await installResource(path, join(to, basename(path)), placeholdersOf(watch.ports, to));
    const admin = new EnvoyAdmin(watch.ports[workload].admin);
    for (let look = 0; look < looks; look++) {
      if (await admin.usesVersion(version, stop)) {
        return `${name}: in use by Envoy after ${String(Math.round(clock.monotonicMs() - startMs))} ms`;
      }
      await clock.delay(lookEveryMs, stop);
    }
    return `${name}: not taken by Envoy, which goes on with what it had; the reason is in its log`;
  } catch (error) {
    return `${name}: not used: ${describeError(error)}`;
  }
}
