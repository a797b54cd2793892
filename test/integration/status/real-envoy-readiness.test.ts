// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { typeUrls } from "../../../src/xds/protocol/type-url.ts";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { type FakeControlPlane, type FakeResource, startFakeControlPlane } from "../../fakes/fake-control-plane.ts";
import { encodeEnvoy } from "../../support/envoy-api.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { type Pod, startPod } from "../../support/pod.ts";
import { clusterResource, listenerResource } from "../../support/xds-resources.ts";

const { cluster, listener } = typeUrls;

/** A listener whose routes are asked for and never come, which keeps Envoy from starting its workers. */
function listenerThatWaits(port: number): FakeResource {
  const manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  const router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
  const rds = {
    route_config_name: "never",
    config_source: { ads: {}, resource_api_version: "V3", initial_fetch_timeout: { seconds: 0 } },
  };
  const config = {
    "@type": `type.googleapis.com/${manager}`,
    stat_prefix: "test",
    rds,
    http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": router } }],
  };
  const value = encodeEnvoy("envoy.config.listener.v3.Listener", {
    name: "waits",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: config }] }],
  });
  return { name: "waits", version: "1", value };
}

async function startPodOf(controlPlane: FakeControlPlane): Promise<Pod & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  const discoveryAddress = `127.0.0.1:${String(controlPlane.port)}`;
  const pod = stack.use(
    await startPod({
      ca,
      proxyConfig: { discoveryAddress, controlPlaneAuthPolicy: "NONE" },
      env: { ATTACHE_XDS_FILES: "" },
    }),
  );
  const owned = stack.move();
  return { ...pod, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface Case {
  readonly title: string;
  readonly prepare: (controlPlane: FakeControlPlane, port: number) => void;
  readonly said: RegExp;
}

const unready: readonly Case[] = [
  {
    title: "R3 only clusters were accepted",
    prepare(controlPlane) {
      controlPlane.set(cluster, [clusterResource("a", "1")]);
    },
    said: /^envoy: config not fully received from XDS server: cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 0 rejected/m,
  },
  {
    title: "R4 clusters were rejected, listeners accepted",
    prepare(controlPlane, port) {
      controlPlane.set(cluster, [clusterResource("bad", "1", true)]);
      controlPlane.set(listener, [listenerResource("l", port, "x")]);
    },
    said: /^envoy: config received from XDS server, but was rejected: cds updates: 0 successful, 1 rejected; lds updates: 1 successful, 0 rejected/m,
  },
  {
    title: "R5 nothing came",
    prepare(controlPlane) {
      controlPlane.responds = false;
    },
    said: /^envoy: config not received from XDS server \(is Istiod running\?\): cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected/m,
  },
  {
    title: "R6 R7 listeners wait for their routes, so the workers have not started",
    prepare(controlPlane, port) {
      controlPlane.set(cluster, [clusterResource("a", "1")]);
      controlPlane.set(listener, [listenerThatWaits(port)]);
    },
    said: /^envoy: server is not live, current state is: INITIALIZING/m,
  },
];

test.each(unready)("$title: the real Envoy's pod is not ready, in these words", async ({ prepare, said }) => {
  await using controlPlane = await startFakeControlPlane();
  const [port = 0] = await freePorts(1);
  prepare(controlPlane, port);
  await using pod = await startPodOf(controlPlane);
  await eventually(
    async () => {
      const { status, body } = await pod.readiness();
      expect([status, body]).toEqual([503, expect.stringMatching(said)]);
    },
    { withinMs: 10_000 },
  );
});

test("R1 R10 one update of each kind makes the real Envoy's pod ready; a later refusal or a silent Envoy changes nothing", async () => {
  await using controlPlane = await startFakeControlPlane();
  const [port = 0] = await freePorts(1);
  controlPlane.set(cluster, [clusterResource("a", "1")]);
  controlPlane.set(listener, [listenerResource("l", port, "x")]);
  await using pod = await startPodOf(controlPlane);
  await pod.untilReady();
  controlPlane.set(cluster, [clusterResource("bad", "1", true)]);
  await eventually(
    async () => {
      const stats = await fetch(`http://127.0.0.1:${String(pod.ports.admin)}/stats?filter=cds.update_rejected`);
      expect(await stats.text()).toContain("cluster_manager.cds.update_rejected: 1");
    },
    { withinMs: 5_000 },
  );
  expect((await pod.readiness()).status).toBe(200);
  for (const pid of pod.envoyPids()) process.kill(pid, "SIGSTOP");
  expect((await pod.readiness()).status).toBe(200);
});
