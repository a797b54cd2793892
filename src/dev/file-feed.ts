// SPDX-License-Identifier: Apache-2.0
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock } from "../lib/async/clock.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { watchFiles } from "../lib/fs/file-watch.ts";
import { inUseAfter, notInUse } from "./edit-reporter.ts";
import { EnvoyAdmin } from "./envoy-admin.ts";
import { type MeshAddresses, type MeshPorts, type WorkloadName, workloadNames } from "./mesh.ts";
import { installResource, installResources, placeholdersOf, type ResourceFeed } from "./resources.ts";

export interface FileFeedOptions {
  /** The resource files, one directory for each workload. */
  readonly from: string;
  /** The directory where a workload's Envoy reads them. */
  readonly to: (workload: WorkloadName) => string;
  readonly ports: MeshPorts;
  readonly addresses: MeshAddresses;
}

const pollEnvoyMs = 50;
const polls = 40;

const debounceMs = 60;
const pollFilesMs = 10_000;

/**
 * Installs the rendered files where each Envoy reads them itself, and installs every edit.
 * @throws DevResourceError
 */
export async function startFileFeed(options: FileFeedOptions, clock: Clock): Promise<ResourceFeed> {
  const { from, to, ports, addresses } = options;
  for (const workload of workloadNames) {
    await installResources(from, to(workload), workload, placeholdersOf(ports, to(workload), addresses));
  }
  return {
    sourceOf: (workload) => ({ kind: "files", directory: to(workload) }),
    follow: (say, stop) => followEdits(options, say, clock, stop),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** @returns when the files are watched */
async function followEdits(
  options: FileFeedOptions,
  say: (text: string) => void,
  clock: Clock,
  stop: AbortSignal,
): Promise<AsyncDisposable> {
  const folders = workloadNames.map((workload) => join(options.from, workload));
  const onError = (error: unknown): void => {
    say(`edits are seen up to 10 s late: ${describeError(error)}`);
  };
  const started = Promise.withResolvers<undefined>();
  const task = startTask(
    async (signal) => {
      let seen: ReadonlyMap<string, string> | undefined;
      for await (const _ of watchFiles(folders, { clock, debounceMs, pollMs: pollFilesMs, onError }, signal)) {
        const found = await readVersions(folders);
        for (const [path, version] of found) {
          const workload = workloadNames.find((name) => name === basename(dirname(path)));
          if (seen === undefined || workload === undefined || seen.get(path) === version) continue;
          void installEdit(options, workload, path, clock, stop).then(say);
        }
        seen = found;
        started.resolve(undefined);
      }
    },
    (error) => {
      started.resolve(undefined);
      say(`edits are no longer watched: ${describeError(error)}`);
    },
  );
  await started.promise;
  return task;
}

/** The YAML files of the directories, each with a text that differs after every write. */
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

/** Never throws. @returns the result of the edit as text */
async function installEdit(
  { to, ports, addresses }: FileFeedOptions,
  workload: WorkloadName,
  path: string,
  clock: Clock,
  stop: AbortSignal,
): Promise<string> {
  const name = `${workload}/${basename(path)}`;
  const startMs = clock.monotonicMs();
  try {
    const folder = to(workload);
    const { version } = await installResource(
      path,
      join(folder, basename(path)),
      placeholdersOf(ports, folder, addresses),
    );
    const admin = new EnvoyAdmin(ports[workload].admin);
    for (let poll = 0; poll < polls; poll++) {
      if (await admin.usesVersion(version, stop)) return `${name}: ${inUseAfter(clock.monotonicMs() - startMs)}`;
      await clock.delay(pollEnvoyMs, stop);
    }
    return `${name}: ${notInUse}`;
  } catch (error) {
    return `${name}: invalid: ${describeError(error)}; Envoy keeps the previous version`;
  }
}
