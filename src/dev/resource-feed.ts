// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ResourceSource } from "./agent-setup.ts";
import type { DevConfig } from "./dev-config.ts";
import { type MeshPorts, type WorkloadName, workloadNames } from "./mesh.ts";
import { startResourceWatch } from "./resource-watch.ts";
import { installResources, placeholdersOf } from "./resources.ts";
import type { WorkDirectory } from "./work-directory.ts";
import { startXdsFeed } from "./xds-feed.ts";

/** Where the Envoys of a mesh get their resources. */
export interface ResourceFeed extends AsyncDisposable {
  sourceOf(workload: WorkloadName): ResourceSource;
  /** Tells what became of each edit, until the result is disposed of. */
  follow(say: (text: string) => void, stop: AbortSignal): Promise<AsyncDisposable>;
}

/** @throws DevResourceError, or a problem with file and line, when the readable files cannot be used */
export async function startResourceFeed(
  config: Pick<DevConfig, "delivery" | "resourcesDirectory">,
  ports: MeshPorts,
  directory: WorkDirectory,
  clock: Clock,
): Promise<ResourceFeed> {
  const from = config.resourcesDirectory;
  if (config.delivery === "ads") return await startXdsFeed(from, ports, clock);
  const to = (workload: WorkloadName): string => directory.resourcesPath(workload);
  for (const workload of workloadNames) {
    await installResources(from, to(workload), workload, placeholdersOf(ports, to(workload)));
  }
  return {
    sourceOf: (workload) => ({ kind: "files", directory: to(workload) }),
    follow: (say, stop) => startResourceWatch({ from, to, ports, say }, clock, stop),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
