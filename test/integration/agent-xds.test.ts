// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/type-url.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { clusterResource } from "../support/xds-resources.ts";

function podBehind(controlPlane: FakeControlPlane, env: Readonly<Record<string, string>>): Omit<PodOptions, "ca"> {
  const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
  return {
    proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" },
    env: { ATTACHE_XDS_FILES: "", ISTIO_META_CLUSTER_ID: "c1", ...env },
  };
}

test("the agent passes Envoy's configuration on and says what Envoy refused, in log and metrics", async () => {
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.listener, []);
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1")]);
  await using pod = await startPod({ ca, ...podBehind(controlPlane, {}) });
  await pod.untilReady();
  expect(controlPlane.requests[0]?.metadata.get("clusterid")).toBe("c1");
  expect(controlPlane.requests[0]?.metadata.get("authorization")).toBe("Bearer a-token");
  expect(controlPlane.requests[0]?.kind).toBe("delta");
  const metrics = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${String(pod.ports.status)}/stats/prometheus`, {
      headers: { connection: "close" },
    });
    return answer.text();
  };
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1"), clusterResource("bad", "1", true)]);
  await eventually(
    () => {
      expect(pod.log()).toMatch(/Envoy refused configuration.*bad/);
    },
    { withinMs: 2_000 },
  );
  expect(await metrics()).toContain('attache_xds_rejected{type="cds"} 1');
  const page = await (await fetch(`http://127.0.0.1:${String(pod.ports.status)}/debug/xds`)).json();
  expect(page).toMatchObject({
    connected: true,
    types: expect.arrayContaining([
      {
        typeUrl: typeUrls.cluster,
        version: expect.any(String) as unknown,
        refusal: expect.objectContaining({ resources: ["bad"], sinceMs: expect.any(Number) as unknown }) as unknown,
      },
    ]) as unknown,
  });
  controlPlane.set(typeUrls.cluster, [clusterResource("first", "1"), clusterResource("bad", "2")]);
  await eventually(
    async () => {
      expect(await metrics()).toContain('attache_xds_rejected{type="cds"} 0');
    },
    { withinMs: 2_000 },
  );
});

test("agent and Envoy, killed and started again without a control plane, are ready from the cache", async () => {
  await using directory = await temporaryDirectory();
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.listener, []);
  controlPlane.set(typeUrls.cluster, [clusterResource("kept", "1")]);
  const options = {
    ca,
    ...podBehind(controlPlane, { ATTACHE_XDS_CACHE: directory.path, ATTACHE_XDS_CACHE_AFTER: "500ms" }),
  };
  const untilReady = async (see?: (pod: Pod) => Promise<void>): Promise<number> => {
    const startMs = performance.now();
    const pod = await startPod(options);
    await pod.untilReady();
    const clusters = await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/clusters`, {
      headers: { connection: "close" },
    });
    expect(await clusters.text()).toContain("kept::");
    const tookMs = performance.now() - startMs;
    await see?.(pod);
    // its way to end a pod is SIGKILL for both
    await pod[Symbol.asyncDispose]();
    return tookMs;
  };
  const normalMs = await untilReady();
  await controlPlane.kill();
  const cachedMs = await untilReady(async (pod) => {
    const ask = (path: string) => fetch(`http://127.0.0.1:${String(pod.ports.status)}${path}`);
    const verbose = await ask("/healthz/ready?verbose");
    expect(verbose.status).toBe(200);
    expect(await verbose.text()).toContain("served from cache");
    expect(await (await ask("/debug/xds")).json()).toMatchObject({ connected: false, cache: {} });
    expect(await (await ask("/stats/prometheus")).text()).toMatch(/^attache_xds_cache_staleness_seconds [0-9.]*[1-9]/m);
  });
  expect(cachedMs).toBeLessThan(normalMs + 1_000);
});
