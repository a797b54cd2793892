// SPDX-License-Identifier: Apache-2.0
import { EnvoyAdmin } from "./envoy-admin.ts";
import { spiffeIdOf, type WorkloadName, type WorkloadPorts } from "./mesh.ts";
import { isReady } from "./phases.ts";
import type { WorkloadReport } from "./report.ts";

/** What a workload's Envoy and agent say now. Never throws: what cannot be observed is null, and not ready. */
export async function observeWorkload(
  name: WorkloadName,
  ports: WorkloadPorts,
  signal: AbortSignal,
): Promise<WorkloadReport> {
  const certificates = await new EnvoyAdmin(ports.admin).certificates(signal).catch(() => []);
  const certificate = certificates.find(({ spiffeId }) => spiffeId === spiffeIdOf(name));
  return {
    name,
    spiffeId: certificate?.spiffeId ?? null,
    serial: certificate?.serial ?? null,
    notAfter: certificate?.notAfter ?? null,
    ready: await isReady(ports, signal).catch(() => false),
  };
}
