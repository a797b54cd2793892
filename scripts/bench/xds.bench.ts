// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../src/lib/grpc/client.ts";
import { renderRequest } from "../../src/xds/protocol/request.ts";
import { renderResponse } from "../../src/xds/protocol/response.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { bytesField, textField } from "../../src/xds/protocol/wire.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../../test/fakes/fake-control-plane.ts";
import { engineEnv, engineFlags } from "../../test/support/agent-engine.ts";
import { startAdsEnvoy } from "../../test/support/ads-envoy.ts";
import { eventually } from "../../test/support/eventually.ts";
import { percentile, startProber } from "../../test/support/prober.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { encodeEnvoy } from "../../test/support/envoy-api.ts";
import { watchMemory } from "./memory-watch.ts";
import { type Figure, median } from "./figure.ts";

export const name = "xds";

const clusters = 5_000;
const pushes = 7;
const stalledPushes = 10;
const { cluster } = typeUrls;

/**
 * A push of 20 MB: from the control plane's write to Envoy's acceptance, directly and through the proxy; what it costs
 * the proxy; and 200 MB for an Envoy that does not read.
 */
export async function run(): Promise<readonly Figure[]> {
  const resources = manyClusters();
  const direct = await measureDirect(resources);
  const proxied = await measureProxied(resources);
  const { times, cpuMs, peakAboveRest, probe99Ms } = proxied;
  return [
    { name: "20 MB push, Envoy directly: to its acceptance, median", value: median(direct), unit: "ms" },
    { name: "20 MB push, through the proxy: to its acceptance, median", value: median(times), unit: "ms" },
    { name: "added by the proxy", value: median(times) - median(direct), unit: "ms" },
    { name: "processor time of the proxy for a push", value: cpuMs, unit: "ms" },
    {
      name: "private memory of the proxy above rest, peak over the pushes",
      value: peakAboveRest,
      unit: "MB",
      limit: 16,
    },
    { name: "probe during the pushes, p99", value: probe99Ms, unit: "ms", limit: 20 },
    {
      name: "200 MB for an Envoy that does not read: private memory above rest, peak",
      value: await measureStalled(resources),
      unit: "MB",
      limit: 16,
    },
  ];
}

type Resources = readonly { readonly name: string; readonly version: string; readonly any: Uint8Array }[];

function manyClusters(): Resources {
  return Array.from({ length: clusters }, (_, index) => {
    const clusterName = `cluster-${String(index)}`;
    const value = encodeEnvoy("envoy.config.cluster.v3.Cluster", {
      name: clusterName,
      connect_timeout: { seconds: 1 },
      type: "STATIC",
      load_assignment: { cluster_name: clusterName, endpoints: [] },
      metadata: { filter_metadata: { padding: { fields: { of: { stringValue: "x".repeat(4_000) } } } } },
    });
    return { name: clusterName, version: "1", any: Buffer.concat([textField(1, cluster), bytesField(2, value)]) };
  });
}

/** @throws if it has not the size that the figures name */
function push(resources: Resources, nonce: string): Uint8Array {
  const bytes = renderResponse({ typeUrl: cluster, version: nonce, nonce, resources, removed: [] }, "delta");
  if (Math.abs(bytes.length - 20e6) > 1e6) throw new Error(`a push has ${String(bytes.length)} bytes, not 20 MB`);
  return bytes;
}

async function measureDirect(resources: Resources): Promise<readonly number[]> {
  await using directory = await temporaryDirectory();
  await using controlPlane = await startFakeControlPlane();
  await using _envoy = await startAdsEnvoy({
    directory: directory.path,
    source: { port: controlPlane.port },
    delta: true,
  });
  return await pushAll(controlPlane, resources);
}

async function measureProxied(resources: Resources) {
  await using directory = await temporaryDirectory();
  await using controlPlane = await startFakeControlPlane();
  await using proxy = await startProxyProcess(directory.path, controlPlane.port);
  await using _envoy = await startAdsEnvoy({
    directory: directory.path,
    source: { socketPath: proxy.socketPath },
    delta: true,
  });
  await untilSubscribed(controlPlane);
  await pause(1_000);
  const memory = watchMemory(proxy.pid);
  await using probes = await startProber([{ url: `http://127.0.0.1:${String(proxy.probePort)}/` }]);
  const cpuBefore = await proxy.cpuMs();
  const times = await pushAll(controlPlane, resources);
  const cpuMs = ((await proxy.cpuMs()) - cpuBefore) / (pushes + 1);
  return { times, cpuMs, peakAboveRest: memory.stop(), probe99Ms: percentile((await probes.stop())[0] ?? [], 0.99) };
}

async function measureStalled(resources: Resources): Promise<number> {
  await using directory = await temporaryDirectory();
  await using controlPlane = await startFakeControlPlane();
  await using proxy = await startProxyProcess(directory.path, controlPlane.port);
  const target = { kind: "unix", path: proxy.socketPath } as const;
  await using channel = createGrpcChannel({ target, authority: "xds-grpc" }, { clock: systemClock });
  const stream = await channel.stream(
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
  );
  await stream.write(renderRequest({ typeUrl: cluster }, "delta"));
  await untilSubscribed(controlPlane);
  await pause(1_000);
  const memory = watchMemory(proxy.pid);
  const bytes = push(resources, "stalled");
  for (let count = 0; count < stalledPushes; count++) controlPlane.sendRaw(bytes);
  await pause(4_000);
  return memory.stop();
}

/** The first push makes the clusters; the later ones are the same to Envoy, so that its own work is small. */
async function pushAll(controlPlane: FakeControlPlane, resources: Resources): Promise<readonly number[]> {
  await untilSubscribed(controlPlane);
  const times: number[] = [];
  for (let count = 0; count <= pushes; count++) {
    const nonce = `push-${String(count)}`;
    const bytes = push(resources, nonce);
    const startMs = performance.now();
    controlPlane.sendRaw(bytes);
    await eventually(
      () => {
        if (controlPlane.requests.at(-1)?.request.responseNonce !== nonce) throw new Error("not accepted yet");
      },
      { withinMs: 60_000, everyMs: 1 },
    );
    if (count > 0) times.push(performance.now() - startMs);
  }
  return times;
}

async function untilSubscribed(controlPlane: FakeControlPlane): Promise<void> {
  await eventually(
    () => {
      if (controlPlane.seen(cluster).length === 0) throw new Error("nobody asked for clusters yet");
    },
    { withinMs: 10_000 },
  );
}

interface ProxyProcess extends AsyncDisposable {
  readonly pid: number;
  readonly socketPath: string;
  readonly probePort: number;
  cpuMs(): Promise<number>;
}

async function startProxyProcess(directory: string, controlPlanePort: number): Promise<ProxyProcess> {
  const socketPath = join(directory, "XDS");
  const child: ChildProcess = fork(join(import.meta.dirname, "xds-server.ts"), [socketPath, String(controlPlanePort)], {
    execArgv: [...engineFlags],
    env: { ...process.env, ...engineEnv },
  });
  const [{ probePort }] = (await once(child, "message")) as [{ readonly probePort: number }];
  return {
    pid: child.pid ?? 0,
    socketPath,
    probePort,
    async cpuMs() {
      const answer = once(child, "message");
      child.send("cpu");
      const [{ cpuMs }] = (await answer) as [{ readonly cpuMs: number }];
      return cpuMs;
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
