// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { eventually } from "../support/eventually.ts";
import { freePorts } from "../support/free-ports.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { clusterResource, listenerResource } from "../support/xds-resources.ts";

function podBehind(controlPlane: FakeControlPlane, env: Readonly<Record<string, string>>): Omit<PodOptions, "ca"> {
  const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
  return {
    proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" },
    env: { ATTACHE_XDS_FILES: "", ISTIO_META_CLUSTER_ID: "c1", ...env },
  };
}

test("the agent passes Envoy's configuration on and reports what Envoy rejected, in log and metrics", async () => {
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
      expect(pod.log()).toMatch(/Envoy rejected configuration.*bad/);
    },
    { withinMs: 2_000 },
  );
  expect(await metrics()).toContain('attache_xds_rejected{type="cds"} 1');
  const page = await (await fetch(`http://127.0.0.1:${String(pod.ports.status)}/debug/xds`)).json();
  expect(page).toMatchObject({
    connected: true,
    types: expect.arrayContaining([
      expect.objectContaining({
        typeUrl: typeUrls.cluster,
        state: "NACKED",
        version: expect.stringMatching(/^\d+$/) as unknown,
        versionSent: expect.stringMatching(/^\d+$/) as unknown,
        lastAckedAt: expect.stringMatching(/^20.*Z$/) as unknown,
        refusal: expect.objectContaining({ resources: ["bad"], sinceMs: expect.any(Number) as unknown }) as unknown,
      }),
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

test("agent and Envoy, restarted after a kill without a control plane, serve from the cache, and the newer version when it is back", async () => {
  await using directory = await temporaryDirectory();
  await using ca = await startFakeCa();
  await using controlPlane = await startFakeControlPlane();
  const [port = 0] = await freePorts(1);
  controlPlane.set(typeUrls.cluster, [clusterResource("kept", "1")]);
  controlPlane.set(typeUrls.listener, [listenerResource("web", port, "old")]);
  const options = { ca, ...podBehind(controlPlane, { ATTACHE_XDS_CACHE: directory.path }) };
  const untilServed = (body: string, withinMs: number) =>
    eventually(async () => expect(await textOf(`http://127.0.0.1:${String(port)}/`)).toBe(body), { withinMs });
  /** Starts the pod and ends it, both processes by SIGKILL. */
  const untilOldIsServed = async (see?: (pod: Pod) => Promise<void>): Promise<number> => {
    const startMs = performance.now();
    await using pod = await startPod(options);
    await untilServed("old", 10_000);
    const tookMs = performance.now() - startMs;
    await see?.(pod);
    return tookMs;
  };
  const normalMs = await untilOldIsServed((pod) => pod.untilReady());
  await controlPlane.kill();
  const cachedMs = await untilOldIsServed(async (pod) => {
    await pod.untilReady();
    const ask = (path: string) => textOf(`http://127.0.0.1:${String(pod.ports.status)}${path}`);
    expect(await ask("/healthz/ready?verbose")).toContain("served from cache");
    expect(JSON.parse(await ask("/debug/xds"))).toMatchObject({ connected: false, cache: {} });
    expect(await ask("/stats/prometheus")).toMatch(/^attache_xds_cache_staleness_seconds [0-9.]*[1-9]/m);
    controlPlane.set(typeUrls.listener, [listenerResource("web", port, "new")]);
    await controlPlane.listen(controlPlane.port);
    await untilServed("new", 2_000);
    await eventually(async () => expect(await ask("/healthz/ready?verbose")).not.toContain("served from cache"), {
      withinMs: 1_000,
    });
  });
  expect(cachedMs).toBeLessThan(normalMs + 1_000);

  await controlPlane.kill();
  const [record = ""] = (await readdir(directory.path)).filter((name) => name.startsWith("cds."));
  const bytes = await readFile(join(directory.path, record));
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  await writeFile(join(directory.path, record), bytes);
  await using pod = await startPod(options);
  await eventually(() => expect(pod.log()).toMatch(/cannot use the xDS cache.*checksum mismatch/), { withinMs: 5_000 });
  expect((await pod.readiness()).status).toBe(503);
});

async function textOf(url: string): Promise<string> {
  return (await fetch(url, { headers: { connection: "close" } })).text();
}
