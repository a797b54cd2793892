// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { Clock } from "../lib/async/clock.ts";
import { type ControlPlane, startControlPlane } from "../xds/index.ts";
import { EditReporter } from "./edit-reporter.ts";
import { EnvoyAdmin } from "./envoy-admin.ts";
import { type MeshAddresses, type MeshPorts, type WorkloadName, workloadNames } from "./mesh.ts";
import {
  DevResourceError,
  listResources,
  type Placeholders,
  placeholdersOf,
  renderResource,
  type ResourceFeed,
  versionOf,
} from "./resources.ts";

export interface AdsFeedOptions {
  /** The resource files, one directory for each workload. */
  readonly from: string;
  readonly ports: MeshPorts;
  readonly addresses: MeshAddresses;
}

/**
 * A control plane on loopback for each workload. It serves the workload's directory over ADS and pushes every edit.
 * @throws DevResourceError, ResourceFileError
 */
export async function startAdsFeed({ from, ports, addresses }: AdsFeedOptions, clock: Clock): Promise<ResourceFeed> {
  for (const workload of workloadNames) await listResources(join(from, workload));
  await using stack = new AsyncDisposableStack();
  const startFor = async (workload: WorkloadName) => {
    const reporter = new EditReporter(workload, new EnvoyAdmin(ports[workload].admin), clock);
    const controlPlane = await startForFolder(
      join(from, workload),
      placeholdersOf(ports, undefined, addresses),
      reporter,
      clock,
    );
    return { reporter, port: stack.use(controlPlane).port };
  };
  const running = { web: await startFor("web"), api: await startFor("api") };
  const owned = stack.move();
  return {
    sourceOf: (workload) => ({ kind: "ads", port: running[workload].port }),
    follow(say, stop) {
      const following = workloadNames.map((workload) => running[workload].reporter.follow(say, stop));
      return Promise.resolve({
        async [Symbol.asyncDispose]() {
          await Promise.all(following.map((one) => one[Symbol.asyncDispose]()));
        },
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startForFolder(
  directory: string,
  placeholders: Placeholders,
  reporter: EditReporter,
  clock: Clock,
): Promise<ControlPlane> {
  const prepare = (file: string, template: string) => {
    try {
      return renderResource(file, template, { ...placeholders, VERSION: versionOf(template) });
    } catch (error) {
      if (!(error instanceof DevResourceError)) throw error;
      return { line: error.line ?? 1, problem: error.problem };
    }
  };
  return startControlPlane(
    {
      directory,
      host: "127.0.0.1",
      port: 0,
      prepare,
      onEvent: (event) => {
        reporter.add(event);
      },
    },
    { clock },
  );
}
