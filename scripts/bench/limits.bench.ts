// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";
import { startFakeControlPlane } from "../../test/fakes/fake-control-plane.ts";
import { startFakeApp } from "../../test/fakes/fake-app.ts";
import { type AdsEnvoy, startAdsEnvoy } from "../../test/support/ads-envoy.ts";
import { makeMemoryGroup, makeProcessorGroup } from "../../test/support/control-group.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { Pod } from "../../test/support/pod.ts";
import { isRunning } from "../../test/support/process-state.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { type Backends, startBackends, startBenchPod } from "./bench-pod.ts";
import type { Comparison } from "./comparison.ts";
import type { Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { answers } from "./measured-start.ts";
import { findPeer, type Peer } from "./peer.ts";
import { type Readings, runInRounds } from "./rounds.ts";

export const name = "limits";

const rounds = 2;
const millicpus = [100, 50] as const;
/** As the kubelet's questions, they are paid from the container's limit. */
const everyMs = 200;

const ladderMib = [40, 44, 48, 56, 64] as const;
/** What a pod needs that survives none of them. */
const aboveLadderMib = 72;
const stormCallers = 20;
const stormMs = 3_000;
/** Of all callers together; the machine answers several times as many. */
const leastAnswered = 600;
const series = 1_000;
const probePath = "/app-health/web/livez";

/** Agent and Envoy in a control group, as in a container with limits. Without the rights for it, nothing is measured. */
export async function run(): Promise<readonly Row[]> {
  if (!canLimit()) {
    process.stdout.write("limits: SKIPPED, this user may not make control groups with limits\n");
    return [];
  }
  await using backends = await startBackends();
  const peer = findPeer();
  const rows: Comparison[] = [];
  for (const limit of millicpus) rows.push(...(await compareStarts(backends, peer, limit)));
  return [...rows, ...(await compareLadders(backends, peer))];
}

function canLimit(): boolean {
  using processors = makeProcessorGroup(1_000);
  using memory = makeMemoryGroup(2 ** 30);
  return processors !== undefined && memory !== undefined;
}

async function compareStarts(
  backends: Backends,
  peer: Peer | undefined,
  limit: number,
): Promise<readonly Comparison[]> {
  const start = (of: Peer | undefined) => async (): Promise<Readings> => {
    using group = makeProcessorGroup(limit);
    const startMs = performance.now();
    await using pod = await startBenchPod({ backends, peer: of, launcher: group?.launcher ?? [] });
    if (!(await isReadyWithin(pod, 120_000))) throw new Error(`not ready in two minutes:\n${pod.log().slice(-2_000)}`);
    return { readyMs: performance.now() - startMs };
  };
  return await runInRounds({
    rounds,
    warmUps: 0,
    subjects: {
      attache: start(undefined),
      reference: () => measureEnvoy(limit),
      peer: peer === undefined ? undefined : start(peer),
    },
    rows: {
      readyMs: {
        name: `start to ready at ${String(limit)}m (reference: Envoy alone)`,
        unit: "ms",
        limits: { peer: { atMost: 1.25 } },
      },
    },
  });
}

async function measureEnvoy(limit: number): Promise<Readings> {
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.cluster, []);
  controlPlane.set(typeUrls.listener, []);
  await using directory = await temporaryDirectory();
  using group = makeProcessorGroup(limit);
  const startMs = performance.now();
  const source = { port: controlPlane.port };
  const { path } = directory;
  await using _envoy: AdsEnvoy = await startAdsEnvoy({
    directory: path,
    source,
    delta: true,
    launcher: group?.launcher,
  });
  await eventually(
    () => {
      if (!controlPlane.seen(typeUrls.listener).some(({ request }) => request.responseNonce !== "")) {
        throw new Error("Envoy has not accepted its listeners yet");
      }
    },
    { withinMs: 60_000 },
  );
  return { readyMs: performance.now() - startMs };
}

async function isReadyWithin(pod: Pod, withinMs: number): Promise<boolean> {
  const endMs = performance.now() + withinMs;
  while (performance.now() < endMs && isRunning(pod.pid)) {
    if (await answers(pod.ports.status, "/healthz/ready")) return true;
    await pause(everyMs);
  }
  return false;
}

async function compareLadders(backends: Backends, peer: Peer | undefined): Promise<readonly Comparison[]> {
  const climb = (of: Peer | undefined) => async (): Promise<Readings> => {
    for (const mib of ladderMib) if (await survives(backends, of, mib)) return { mib };
    return { mib: aboveLadderMib };
  };
  return await runInRounds({
    rounds,
    warmUps: 0,
    subjects: { attache: climb(undefined), peer: peer === undefined ? undefined : climb(peer) },
    rows: {
      mib: {
        name: "smallest memory limit that survives start, probe storm and scrapes",
        unit: "MiB",
        limits: { peer: { atMost: 1.1 } },
      },
    },
  });
}

/** @throws LoadError when a pod survived a storm that was none */
async function survives(backends: Backends, peer: Peer | undefined, mib: number): Promise<boolean> {
  const text = Array.from({ length: series }, (_, index) => `app_requests{of="${String(index)}"} 1\n`).join("");
  await using app = await startFakeApp((_request, response) => response.end(text));
  using group = makeMemoryGroup(mib * 2 ** 20);
  await using pod = await startBenchPod({
    backends,
    peer,
    launcher: group?.launcher ?? [],
    env: {
      ISTIO_KUBE_APP_PROBERS: JSON.stringify({ [probePath]: { httpGet: { path: "/", port: app.port } } }),
      ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", port: String(app.port), path: "/" }),
    },
  });
  if (!(await isReadyWithin(pod, 20_000))) return false;
  const { answered, scraped } = await storm(pod);
  const isAlive = isRunning(pod.pid) && group?.oomKills() === 0 && (await isReadyWithin(pod, 5_000));
  if (!isAlive) return false;
  assertLoad(`requests answered in the storm at ${String(mib)} MiB`, answered, leastAnswered);
  assertLoad(`series in the last scrape at ${String(mib)} MiB`, scraped, series);
  return true;
}

/** Callers that ask again as soon as they have an answer, and three scrapes meanwhile. */
async function storm(pod: Pod): Promise<{ readonly answered: number; readonly scraped: number }> {
  const url = (path: string): string => `http://127.0.0.1:${String(pod.ports.status)}${path}`;
  const endMs = performance.now() + stormMs;
  let answered = 0;
  const call = async (path: string): Promise<void> => {
    while (performance.now() < endMs && isRunning(pod.pid)) {
      const response = await fetch(url(path), { headers: { connection: "close" } }).catch(() => undefined);
      await response?.text().catch(() => "");
      if (response !== undefined) answered++;
    }
  };
  let scraped = 0;
  const scrape = async (): Promise<void> => {
    for (let time = 0; time < 3; time++) {
      await pause(stormMs / 4);
      const response = await fetch(url("/stats/prometheus")).catch(() => undefined);
      const lines = (await response?.text().catch(() => ""))?.split("\n") ?? [];
      scraped = lines.filter((line) => line.startsWith("app_requests{")).length;
    }
  };
  const callers = Array.from({ length: stormCallers }, (_, index) =>
    call(index % 2 === 0 ? "/healthz/ready" : probePath),
  );
  await Promise.all([...callers, scrape()]);
  return { answered, scraped };
}
