// SPDX-License-Identifier: Apache-2.0
import { formatSpiffeId } from "../model/spiffe-id.ts";

export const trustDomain = "cluster.local";
export const namespace = "demo";

export type WorkloadName = "web" | "api";
export const workloadNames: readonly WorkloadName[] = ["web", "api"];

/** The ports of one workload, all on loopback. */
export interface WorkloadPorts {
  /** The application itself. */
  readonly app: number;
  /** What its Envoy listens on: mTLS of the mesh for api, plain HTTP from the application for web. */
  readonly envoy: number;
  readonly admin: number;
  /** The agent's status server. */
  readonly status: number;
  /** Readiness through Envoy. */
  readonly readiness: number;
  readonly metrics: number;
}

export type MeshPorts = Readonly<Record<WorkloadName, WorkloadPorts>>;

/** How many free ports a mesh takes besides those of the applications, which choose their own. */
export const portCount = 10;

/** Deals out free ports; the applications listen already. */
export function assignPorts(free: readonly number[], appPorts: Readonly<Record<WorkloadName, number>>): MeshPorts {
  if (free.length !== portCount) throw new Error(`a mesh takes ${String(portCount)} ports`);
  const deal = (first: number, app: number): WorkloadPorts => {
    const [envoy = 0, admin = 0, status = 0, readiness = 0, metrics = 0] = free.slice(first);
    return { app, envoy, admin, status, readiness, metrics };
  };
  return { web: deal(0, appPorts.web), api: deal(5, appPorts.api) };
}

/** The identity of a workload, as it stands in its certificate. */
export function spiffeIdOf(workload: WorkloadName): string {
  return formatSpiffeId({ trustDomain, namespace, serviceAccount: workload });
}
