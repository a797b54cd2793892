// SPDX-License-Identifier: Apache-2.0
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock } from "../lib/async/clock.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
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

const debounceMs = 60;
const pollMs = 10_000;

/**
 * Brings every edit of the readable files to the running Envoys. A file that cannot be used, or that Envoy rejects, is
 * reported; the mesh keeps its previous configuration.
 * @returns when the files are watched
 */
export async function startResourceWatch(
  watch: ResourceWatch,
  clock: Clock,
  stop: AbortSignal,
): Promise<AsyncDisposable> {
  const folders = workloadNames.map((workload) => join(watch.from, workload));
  const started = Promise.withResolvers<undefined>();
  const task = startTask(
    async (signal) => {
      let seen: ReadonlyMap<string, string> | undefined;
      for await (const _ of watchFiles(folders, { clock, debounceMs, pollMs }, signal)) {
        const found = await readVersions(folders);
        for (const [path, version] of found) {
          const workload = workloadNames.find((name) => name === basename(dirname(path)));
          if (seen === undefined || workload === undefined || seen.get(path) === version) continue;
          void apply(watch, workload, path, clock, stop).then(watch.say);
        }
        seen = found;
        started.resolve(undefined);
      }
    },
    (error) => {
      started.resolve(undefined);
      watch.say(`edits are no longer watched: ${describeError(error)}`);
    },
  );
  await started.promise;
  return task;
}

/** The folders' YAML files, each with a text that differs after every write. */
async function readVersions(folders: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const versions = new Map<string, string>();
  for (const folder of folders) {
    for (const name of await readdir(folder).catch(() => [])) {
      const path = join(folder, name);
      const found = name.endsWith(".yaml") ? await stat(path, { bigint: true }).catch(() => undefined) : undefined;
      if (found !== undefined)
        versions.set(path, `${String(found.ino)} ${String(found.mtimeNs)} ${String(found.size)}`);
    }
  }
  return versions;
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
