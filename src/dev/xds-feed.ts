// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { Clock } from "../lib/async/clock.ts";
import type { ResourceChange, ResourceProblem as Problem, XdsRejection } from "../xds/embedded/index.ts";
import { EditTeller } from "./edit-teller.ts";
import { EnvoyAdmin } from "./envoy-admin.ts";
import { DevResourceError } from "./errors.ts";
import { type MeshPorts, type WorkloadName, workloadNames } from "./mesh.ts";
import type { ResourceFeed } from "./resource-feed.ts";
import { listResources, type Placeholders, placeholdersOf, renderResource, versionOf } from "./resources.ts";

/**
 * A control plane on loopback for each workload, which serves that workload's folder over ADS, and pushes every edit.
 * @param from the readable files, one folder for each workload
 * @throws DevResourceError, ResourceProblem
 */
export async function startXdsFeed(from: string, ports: MeshPorts, clock: Clock): Promise<ResourceFeed> {
  for (const workload of workloadNames) await listResources(join(from, workload));
  await using stack = new AsyncDisposableStack();
  const startFor = async (workload: WorkloadName) => {
    const teller = new EditTeller(workload, new EnvoyAdmin(ports[workload].admin), clock);
    const source = await startSource(join(from, workload), placeholdersOf(ports, undefined), teller, clock);
    return { teller, port: stack.use(source).port };
  };
  const running = { web: await startFor("web"), api: await startFor("api") };
  const owned = stack.move();
  return {
    sourceOf: (workload) => ({ kind: "ads", port: running[workload].port }),
    follow(say, stop) {
      const following = workloadNames.map((workload) => running[workload].teller.follow(say, stop));
      return Promise.resolve({
        async [Symbol.asyncDispose]() {
          await Promise.all(following.map((end) => end[Symbol.asyncDispose]()));
        },
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startSource(
  directory: string,
  placeholders: Placeholders,
  teller: EditTeller,
  clock: Clock,
): Promise<{ readonly port: number } & AsyncDisposable> {
  const { ResourceProblem, startXdsSource } = await import("../xds/embedded/index.ts");
  const prepare = (file: string, template: string): string => {
    try {
      return renderResource(file, template, { ...placeholders, VERSION: versionOf(template) });
    } catch (error) {
      if (!(error instanceof DevResourceError)) throw error;
      throw new ResourceProblem(file, error.line ?? 1, error.problem);
    }
  };
  const options = {
    directory,
    host: "127.0.0.1",
    port: 0,
    prepare,
    onApplied: (changes: readonly ResourceChange[]) => {
      teller.tell({ kind: "applied", changes });
    },
    onRefused: (problem: Problem) => {
      teller.tell({ kind: "refused", problem });
    },
    onRejected: (rejection: XdsRejection) => {
      teller.tell({ kind: "rejected", rejection });
    },
  };
  return await startXdsSource(options, { clock });
}
