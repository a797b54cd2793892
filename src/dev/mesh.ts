// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from "node:net";
import { formatSpiffeId } from "../model/spiffe-id.ts";

export const trustDomain = "cluster.local";
export const namespace = "demo";

export type WorkloadName = "web" | "api";
export const workloadNames: readonly WorkloadName[] = ["web", "api"];

/** The ports of one workload, all on loopback. */
export interface WorkloadPorts {
  /** The application itself. */
  readonly app: number;
  /** Its Envoy: mTLS from the mesh for api, plain HTTP from the application for web. */
  readonly envoy: number;
  readonly admin: number;
  /** The agent's status server. */
  readonly status: number;
  /** Readiness through Envoy. */
  readonly readiness: number;
  readonly metrics: number;
}

export type MeshPorts = Readonly<Record<WorkloadName, WorkloadPorts>>;

/** Where the workloads reach each other. */
export interface MeshAddresses {
  /** Where web's Envoy connects to. */
  readonly api: { readonly host: string; readonly port: number };
  /** Where api's Envoy listens, at its port. */
  readonly apiInbound: string;
}

/** Both workloads share loopback; web's Envoy connects to api's. */
export function onLoopback(ports: MeshPorts): MeshAddresses {
  return { api: { host: "127.0.0.1", port: ports.api.envoy }, apiInbound: "127.0.0.1" };
}

/** The number of free ports that a mesh needs besides those of the applications. */
export const portCount = 10;

/** Assigns free ports; the applications listen already. */
export function assignPorts(free: readonly number[], appPorts: Readonly<Record<WorkloadName, number>>): MeshPorts {
  if (free.length !== portCount) throw new Error(`a mesh needs ${String(portCount)} ports`);
  const assign = (first: number, app: number): WorkloadPorts => {
    const [envoy = 0, admin = 0, status = 0, readiness = 0, metrics = 0] = free.slice(first);
    return { app, envoy, admin, status, readiness, metrics };
  };
  return { web: assign(0, appPorts.web), api: assign(5, appPorts.api) };
}

/** The identity in the certificate of a workload. */
export function spiffeIdOf(workload: WorkloadName): string {
  return formatSpiffeId({ trustDomain, namespace, serviceAccount: workload });
}

/**
 * Free ports of loopback. All are held open before the first is released, so no two are the same. Another process can
 * still take one before it is used; its user reports that.
 */
export async function findFreePorts(count: number): Promise<readonly number[]> {
  const holders = await Promise.all(Array.from({ length: count }, () => holdPort()));
  await Promise.all(holders.map((holder) => new Promise((resolve) => holder.server.close(resolve))));
  return holders.map((holder) => holder.port);
}

function holdPort(): Promise<{ readonly server: Server; readonly port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("a TCP server without a port"));
      else resolve({ server, port: address.port });
    });
  });
}
