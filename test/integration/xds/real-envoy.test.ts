// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { startAdsEnvoy } from "../../support/ads-envoy.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { startProxy } from "../../support/xds-proxy-pair.ts";
import { clusterResource, listenerResource } from "../../support/xds-resources.ts";

const { cluster, listener } = typeUrls;

describe.each([
  ["delta", true],
  ["sotw", false],
] as const)("%s", (_protocol, delta) => {
  test("fifty restarts of the control plane under traffic: nothing fails, Envoy is current, its stream stays", async () => {
    const [port = 0] = await freePorts(1);
    await using controlPlane = await startFakeControlPlane();
    controlPlane.set(cluster, [clusterResource("a", "1")]);
    controlPlane.set(listener, [listenerResource("web", port, "v0")]);
    await using under = await startProxy([controlPlane.port]);
    const source = { socketPath: under.socketPath };
    await using envoy = await startAdsEnvoy({ directory: under.directory, source, delta });
    const url = `http://127.0.0.1:${String(port)}/`;
    await eventually(
      async () => {
        expect(await text(url)).toBe("v0");
      },
      { withinMs: 5_000, everyMs: 50 },
    );
    const traffic = startTraffic(url);
    let slowestMs = 0;
    for (let round = 1; round <= 50; round++) {
      await controlPlane.kill();
      const body = `v${String(round)}`;
      controlPlane.set(listener, [listenerResource("web", port, body)]);
      await controlPlane.listen(controlPlane.port);
      const startMs = performance.now();
      await eventually(
        async () => {
          expect(await text(url)).toBe(body);
        },
        { withinMs: 2_000, everyMs: 20 },
      );
      slowestMs = Math.max(slowestMs, performance.now() - startMs);
    }
    const { requests, failures } = await traffic.stop();
    expect(failures).toEqual([]);
    expect(requests).toBeGreaterThan(50);
    expect(slowestMs).toBeLessThan(2_000);
    expect(await envoy.stat("cluster.xds-grpc.upstream_rq_total")).toBe(1);
    expect(await envoy.stat("cluster.xds-grpc.upstream_rq_rx_reset")).toBe(0);
    expect(under.proxy.status().streams).toMatchObject([{ isEnvoy: true, isConnected: true }]);
  });

  test("one bad cluster among fifty is reported in log, metric and status within a second, and cleared when it is fixed", async () => {
    await using controlPlane = await startFakeControlPlane();
    const good = Array.from({ length: 49 }, (_, index) => clusterResource(`good-${String(index)}`, "1"));
    controlPlane.set(listener, []);
    controlPlane.set(cluster, [...good, clusterResource("bad", "1", true)]);
    await using under = await startProxy([controlPlane.port]);
    const source = { socketPath: under.socketPath };
    await using envoy = await startAdsEnvoy({ directory: under.directory, source, delta });
    await eventually(
      async () => {
        expect(await envoy.stat("cluster_manager.cds.update_rejected")).toBeGreaterThan(0);
      },
      { withinMs: 5_000 },
    );
    await eventually(
      () => {
        expect(under.proxy.status().rejected).toMatchObject([{ typeUrl: cluster, resources: ["bad"] }]);
      },
      { withinMs: 1_000 },
    );
    expect(under.metrics.rejected.value("cds")).toBe(1);
    const warning = under.records.find(({ message }) => message === "Envoy rejected configuration");
    expect(warning?.fields["resources"]).toEqual(["bad"]);
    controlPlane.set(cluster, [...good, clusterResource("bad", "2")]);
    await eventually(
      () => {
        expect(under.proxy.status().rejected).toEqual([]);
      },
      { withinMs: 2_000 },
    );
    expect(under.metrics.rejected.value("cds")).toBe(0);
  });
});

async function text(url: string): Promise<string> {
  const answer = await fetch(url, { headers: { connection: "close" } });
  return answer.text();
}

/** One request after the other until it is stopped. */
function startTraffic(url: string) {
  let running = true;
  let requests = 0;
  const failures: string[] = [];
  const loop = async (): Promise<void> => {
    while (running) {
      requests++;
      const answer = await fetch(url).then(
        async (response) => ({ status: response.status, body: await response.text() }),
        String,
      );
      if (typeof answer === "string" || answer.status !== 200) failures.push(JSON.stringify(answer));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const end = loop();
  return {
    async stop() {
      running = false;
      await end;
      return { requests, failures };
    },
  };
}
