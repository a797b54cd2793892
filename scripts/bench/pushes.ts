// SPDX-License-Identifier: Apache-2.0
// Configuration of a size, and the proof that it has arrived in Envoy.
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import type { FakeControlPlane, FakeResource } from "../../test/fakes/fake-control-plane.ts";
import { encodeEnvoy } from "../../test/support/envoy-api.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Pod } from "../../test/support/pod.ts";
import { assertLoad } from "./load-assertion.ts";

const clusterBytes = 4_000;

/** Clusters without endpoints that have about so many bytes together. */
export function clustersOf(bytes: number, version: string): readonly FakeResource[] {
  const count = Math.ceil(bytes / clusterBytes);
  const padding = "x".repeat(clusterBytes - 150);
  return Array.from({ length: count }, (_, index) => {
    const name = `cluster-${String(index)}`;
    const value = encodeEnvoy("envoy.config.cluster.v3.Cluster", {
      name,
      alt_stat_name: "bench",
      connect_timeout: { seconds: 1 },
      type: "STATIC",
      load_assignment: { cluster_name: name, endpoints: [] },
      metadata: { filter_metadata: { padding: { fields: { of: { stringValue: padding } } } } },
    });
    return { name, version, value };
  });
}

/**
 * Pushes clusters to the pod's Envoy and waits until it has accepted them.
 * @throws LoadError when Envoy has received less than they have
 */
export async function push(controlPlane: FakeControlPlane, pod: Pod, clusters: readonly FakeResource[]): Promise<void> {
  const bytes = clusters.reduce((sum, { value }) => sum + value.length, 0);
  const before = await receivedBytes(pod);
  const accepted = controlPlane.seen(typeUrls.cluster).length;
  controlPlane.set(typeUrls.cluster, clusters);
  await eventually(
    () => {
      const last = controlPlane.seen(typeUrls.cluster);
      if (last.length === accepted) throw new Error("Envoy has not accepted the clusters yet");
      if (last.at(-1)?.request.errorDetail !== undefined) throw new Error("Envoy has rejected the clusters");
    },
    { withinMs: 60_000 },
  );
  assertLoad("bytes of a push received by Envoy", (await receivedBytes(pod)) - before, bytes);
}

/** What Envoy has received from its source of configuration. */
async function receivedBytes(pod: Pod): Promise<number> {
  const name = "cluster.xds-grpc;?.upstream_cx_rx_bytes_total"; // Istio's bootstrap ends names of clusters with a semicolon
  const answer = await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/stats?filter=^${name}$`, {
    headers: { connection: "close" },
  });
  return Number(/: (\d+)/.exec(await answer.text())?.[1]);
}
