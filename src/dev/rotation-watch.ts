// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { startTask } from "../lib/async/tasks.ts";
import type { MeshPorts } from "./mesh.ts";
import { observeWorkload } from "./observe.ts";
import type { WorkloadReport } from "./report.ts";

export interface RotationWatch {
  readonly ports: MeshPorts;
  /** As last told of. */
  readonly workloads: readonly WorkloadReport[];
  readonly say: (text: string) => void;
}

const lookEveryMs = 1_000;

/** Tells of each certificate that Envoy takes from now on. */
export function startRotationWatch({ ports, workloads, say }: RotationWatch, clock: Clock): AsyncDisposable {
  const serials = new Map(workloads.map(({ name, serial }) => [name, serial]));
  const run = async (signal: AbortSignal): Promise<void> => {
    while (!signal.aborted) {
      await clock.delay(lookEveryMs, signal);
      for (const { name } of workloads) {
        const { serial, notAfter } = await observeWorkload(name, ports[name], signal);
        if (serial === null || serial === serials.get(name)) continue;
        serials.set(name, serial);
        say(`${name}: new certificate ${serial}, until ${notAfter ?? "-"}`);
      }
    }
  };
  return startTask(run, () => undefined);
}
