// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";
import { renderResponse } from "../../src/xds/protocol/response.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { bytesField, textField } from "../../src/xds/protocol/wire.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../../test/fakes/fake-control-plane.ts";
import { startAdsEnvoy } from "../../test/support/ads-envoy.ts";
import { eventually } from "../../test/support/eventually.ts";
import { percentile, startProber } from "../../test/support/prober.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { encodeEnvoy } from "../../test/support/envoy-api.ts";
import { loopback, requestHttp } from "../../src/lib/net/http-client.ts";
import { startBackends, startBenchPod } from "./bench-pod.ts";
import { median, type Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { watchMemory } from "./memory-watch.ts";
import { findPeer, type Peer } from "./peer.ts";
import { privateMegabytes, processorMs } from "./processes.ts";
import { type Readings, type RowSpec, runInRounds } from "./rounds.ts";

export const name = "xds";

/** Of 4 kB each. */
const clusters = 5_000;
const rounds = 3;
const pushesOfRound = 3;
const stalledPushes = 10;
/** The control plane has sent by then what the agent reads. */
const stalledMs = 4_000;
const serviceCounts = [0, 200, 2_000, 20_000];
/** After the start's clean-up, and after a push. */
const settleMs = 1_500;
const { cluster } = typeUrls;

/**
 * A push of 20 MB from the control plane's write to Envoy's acceptance, and meshes of 0 to 20,000 services: through a pod's
 * agent over TLS; Envoy beside it without an agent, in plaintext; and the peer. Then 200 MB for an Envoy that is stopped
 * meanwhile. Asserts that each Envoy receives all bytes and accepts every push, the stopped one once it goes on.
 */
export async function run(): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack();
  const large = resourcesOf("large", clusters, 4_000);
  const meshes = serviceCounts.map((count) => ({ count, resources: resourcesOf(`of-${String(count)}`, count, 1_000) }));
  const peer = findPeer();
  const attache = await startAgent(stack, undefined);
  const direct = await startDirect(stack);
  const other = peer === undefined ? undefined : await startAgent(stack, peer);
  await pause(settleMs * 2);
  const comparisons = await runInRounds({
    rounds,
    subjects: {
      attache: () => measure(attache, large, meshes),
      reference: () => measure(direct, large, meshes),
      peer: other === undefined ? undefined : () => measure(other, large, meshes),
    },
    rows: rows(),
  });
  const stalled = "200 MB for an Envoy that does not read: private memory above rest, peak";
  return [
    ...comparisons,
    { name: stalled, value: await measureStalled(large, undefined), unit: "MB", limit: 8 },
    ...(peer === undefined ? [] : [{ name: `peer, ${stalled}`, value: await measureStalled(large, peer), unit: "MB" }]),
  ];
}

function rows(): Readonly<Record<string, RowSpec>> {
  const specs: Record<string, RowSpec> = {
    ms: { name: "20 MB push: to Envoy's acceptance", unit: "ms", limits: { peer: { atMost: 1 } } },
    cpu: { name: "20 MB push: processor time of the agent", unit: "ms", limits: { peer: { atMost: 1 } } },
    after: {
      name: "after pushes of 20 MB: private memory of the agent",
      unit: "MB",
      limits: { peer: { atMost: 0.2 } },
    },
    probe: { name: "probe of the agent during the pushes, p99", unit: "ms" },
  };
  for (const count of serviceCounts) {
    const of = `${String(count)} services`;
    specs[`ms ${String(count)}`] = { name: `${of}: to Envoy's acceptance`, unit: "ms" };
    specs[`cpu ${String(count)}`] = { name: `${of}: processor time of the agent`, unit: "ms" };
    specs[`mb ${String(count)}`] = { name: `${of}: private memory of the agent, afterwards`, unit: "MB" };
  }
  return specs;
}

type Resources = readonly { readonly name: string; readonly version: string; readonly any: Uint8Array }[];

function resourcesOf(prefix: string, count: number, bytes: number): Resources {
  return Array.from({ length: count }, (_, index) => {
    const clusterName = `${prefix}-${String(index)}`;
    const value = encodeEnvoy("envoy.config.cluster.v3.Cluster", {
      name: clusterName,
      connect_timeout: { seconds: 1 },
      type: "STATIC",
      load_assignment: { cluster_name: clusterName, endpoints: [] },
      metadata: { filter_metadata: { padding: { fields: { of: { stringValue: "x".repeat(bytes) } } } } },
    });
    return { name: clusterName, version: "1", any: Buffer.concat([textField(1, cluster), bytesField(2, value)]) };
  });
}

function render(resources: Resources, nonce: string): Uint8Array {
  return renderResponse({ typeUrl: cluster, version: nonce, nonce, resources, removed: [] }, "delta");
}

/** @throws if it has not the size that the figures name */
function push(resources: Resources, nonce: string): Uint8Array {
  const bytes = render(resources, nonce);
  if (Math.abs(bytes.length - 20e6) > 1e6) throw new Error(`a push has ${String(bytes.length)} bytes, not 20 MB`);
  return bytes;
}

/** An Envoy with its control plane, and the agent between them, if there is one. */
interface Subscriber {
  readonly controlPlane: FakeControlPlane;
  readonly agent: { readonly pid: number; readonly probeUrl: string } | undefined;
  envoyPids(): readonly number[];
  /** That Envoy has received for its configuration. */
  receivedBytes(): Promise<number>;
}

/** A pattern: the bootstraps of agents have a semicolon after the cluster. */
const receivedStat = "cluster.xds-grpc.*upstream_cx_rx_bytes_total";

async function startAgent(stack: AsyncDisposableStack, peer: Peer | undefined): Promise<Subscriber> {
  const backends = stack.use(await startBackends());
  const pod = stack.use(await startBenchPod({ backends, peer }));
  await pod.untilReady();
  const url = loopback(pod.ports.admin, `/stats?filter=^${receivedStat}$`);
  return {
    controlPlane: backends.controlPlane,
    agent: { pid: pod.pid, probeUrl: `http://127.0.0.1:${String(pod.ports.status)}/healthz/ready` },
    envoyPids: () => pod.envoyPids(),
    receivedBytes: async () => Number(/: (\d+)/.exec((await requestHttp({ url })).text())?.[1]),
  };
}

async function startDirect(stack: AsyncDisposableStack): Promise<Subscriber> {
  const { path: directory } = stack.use(await temporaryDirectory());
  const controlPlane = stack.use(await startFakeControlPlane());
  const source = { port: controlPlane.port };
  const envoy = stack.use(await startAdsEnvoy({ directory, source, delta: true }));
  await untilSubscribed(controlPlane);
  return { controlPlane, agent: undefined, envoyPids: () => [], receivedBytes: () => envoy.stat(receivedStat) };
}

type Meshes = readonly { readonly count: number; readonly resources: Resources }[];

async function measure(subscriber: Subscriber, large: Resources, meshes: Meshes): Promise<Readings> {
  const { agent } = subscriber;
  const readings: Record<string, number> = {};
  const bytes = push(large, nextNonce());
  const before = await subscriber.receivedBytes();
  const probes = agent === undefined ? undefined : await startProber([{ url: agent.probeUrl }]);
  const cpuMs = agent === undefined ? 0 : processorMs(agent.pid);
  const times: number[] = [];
  for (let count = 0; count < pushesOfRound; count++) times.push(await untilAccepted(subscriber, large));
  if (agent !== undefined) readings["cpu"] = (processorMs(agent.pid) - cpuMs) / pushesOfRound;
  readings["ms"] = median(times);
  if (probes !== undefined) readings["probe"] = percentile((await probes.stop())[0] ?? [], 0.99);
  const received = (await subscriber.receivedBytes()) - before;
  assertLoad("bytes that Envoy received", received, pushesOfRound * bytes.length, 0.99);
  await pause(settleMs);
  if (agent !== undefined) readings["after"] = privateMegabytes(agent.pid);
  const beforeMeshes = await subscriber.receivedBytes();
  for (const { count, resources } of meshes) {
    const startCpuMs = agent === undefined ? 0 : processorMs(agent.pid);
    readings[`ms ${String(count)}`] = await untilAccepted(subscriber, resources);
    if (agent === undefined) continue;
    readings[`cpu ${String(count)}`] = processorMs(agent.pid) - startCpuMs;
    await pause(settleMs / 5);
    readings[`mb ${String(count)}`] = privateMegabytes(agent.pid);
  }
  const meshBytes = meshes.reduce((sum, { resources }) => sum + render(resources, "").length, 0);
  assertLoad("bytes of the meshes", (await subscriber.receivedBytes()) - beforeMeshes, meshBytes, 0.99);
  return readings;
}

let nonces = 0;

function nextNonce(): string {
  return `push-${String(++nonces)}`;
}

/** The first push makes the clusters; later ones are the same to Envoy, so that its own work is small. @returns ms */
async function untilAccepted({ controlPlane }: Subscriber, resources: Resources): Promise<number> {
  const nonce = nextNonce();
  const bytes = render(resources, nonce);
  const startMs = performance.now();
  controlPlane.sendRaw(bytes);
  await eventually(
    () => {
      const { errorDetail, responseNonce } = controlPlane.seen(cluster).at(-1)?.request ?? {};
      if (errorDetail !== undefined) throw new Error(`rejected: ${errorDetail.message}`);
      if (responseNonce !== nonce) throw new Error("not accepted yet");
    },
    { withinMs: 60_000, everyMs: 1 },
  );
  return performance.now() - startMs;
}

/** @throws LoadError when less than all pushes arrives in the end @returns MB */
async function measureStalled(resources: Resources, peer: Peer | undefined): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const subscriber = await startAgent(stack, peer);
  await untilSubscribed(subscriber.controlPlane);
  await pause(settleMs * 2);
  const { controlPlane, agent } = subscriber;
  const before = await subscriber.receivedBytes();
  const memory = watchMemory(agent?.pid ?? 0);
  const bytes = push(resources, nextNonce());
  for (const pid of subscriber.envoyPids()) process.kill(pid, "SIGSTOP");
  for (let count = 0; count < stalledPushes; count++) controlPlane.sendRaw(bytes);
  await pause(stalledMs);
  const peak = memory.stop();
  for (const pid of subscriber.envoyPids()) process.kill(pid, "SIGCONT");
  await untilAccepted(subscriber, resources);
  const received = (await subscriber.receivedBytes()) - before;
  assertLoad("bytes that Envoy received once it went on", received, (stalledPushes + 1) * bytes.length, 0.99);
  return peak;
}

async function untilSubscribed(controlPlane: FakeControlPlane): Promise<void> {
  await eventually(
    () => {
      if (controlPlane.seen(cluster).length === 0) throw new Error("nobody asked for clusters yet");
    },
    { withinMs: 10_000 },
  );
}
