// SPDX-License-Identifier: Apache-2.0
import { startFakeControlPlane } from "../../test/fakes/fake-control-plane.ts";
import { startAdsEnvoy } from "../../test/support/ads-envoy.ts";
import { eventually } from "../../test/support/eventually.ts";
import { temporaryDirectory } from "../../test/support/temporary-directory.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startBareProcess } from "./bare-process.ts";
import { type Backends, startBackends } from "./bench-pod.ts";
import { canBlackHole, execInBlackHoleMs } from "./black-hole.ts";
import type { Comparison } from "./comparison.ts";
import { type Figure, median, type Row } from "./figure.ts";
import { measureStart, processorMsWithin } from "./measured-start.ts";
import { findPeer, type Peer } from "./peer.ts";
import { processorMs } from "./processes.ts";
import { type Readings, runInRounds, type RowSpec } from "./rounds.ts";

export const name = "startup";

const rounds = 7;
const blackHoleRounds = 5;
const afterReadyMs = 5_000;
type Key = "rsa" | "ecdsa";

/**
 * Starts with a new RSA or ECDSA key, CA and control plane over TLS, real Envoy. The reference is a bare Node.js process
 * with one HTTP port, and for readiness an Envoy without an agent, from its start to its configuration over ADS. Asserts that
 * each start becomes ready and that its Envoy has the certificate.
 */
export async function run(): Promise<readonly Row[]> {
  await using backends = await startBackends();
  const peer = findPeer();
  return [
    ...(await compareStarts("rsa", backends, peer)),
    ...(await compareStarts("ecdsa", backends, peer)),
    ...(await blackHoleFigures()),
  ];
}

async function compareStarts(key: Key, backends: Backends, peer: Peer | undefined): Promise<readonly Comparison[]> {
  const start = (agent: Peer | undefined) => (): Promise<Readings> =>
    measureStart({ backends, peer: agent, key }, async (pod, times) => ({
      ...times,
      afterMs: await processorMsWithin(pod.pid, afterReadyMs),
    }));
  return await runInRounds({
    rounds,
    subjects: {
      attache: start(undefined),
      reference: measureReference,
      peer: peer === undefined ? undefined : start(peer),
    },
    rows: rowsOf(key),
  });
}

function rowsOf(key: Key): Readonly<Record<string, RowSpec>> {
  const label = key === "rsa" ? "RSA" : "ECDSA";
  const unit = "ms";
  const isRsa = key === "rsa";
  return {
    execMs: {
      name: `${label}: start to Envoy's exec`,
      unit,
      limits: { reference: { atMost: 1.8 }, peer: { atMost: 1.4 } },
    },
    firstSecretMs: { name: `${label}: start to the first secret in Envoy`, unit },
    readyMs: { name: `${label}: start to ready`, unit, limits: { peer: { atMost: isRsa ? 1.2 : 1.4 } } },
    processorMs: {
      name: `${label}: processor time to ready`,
      unit,
      limits: { peer: { atMost: isRsa ? 1.5 : 2.5 } },
    },
    afterMs: {
      name: `${label}: processor time in the 5 s after (reference: a bare start)`,
      unit,
      limits: { reference: { atMost: 0.5 } },
    },
  };
}

async function measureReference(): Promise<Readings> {
  await using directory = await temporaryDirectory();
  await using bare = await startBareProcess(directory.path);
  const bareMs = processorMs(bare.pid);
  await using controlPlane = await startFakeControlPlane();
  controlPlane.set(typeUrls.cluster, []);
  controlPlane.set(typeUrls.listener, []);
  const startMs = performance.now();
  const source = { port: controlPlane.port };
  await using _envoy = await startAdsEnvoy({ directory: directory.path, source, delta: true });
  await eventually(
    () => {
      const isAccepted = controlPlane
        .seen(typeUrls.listener)
        .some(({ request }) => request.responseNonce !== "" && request.errorDetail === undefined);
      if (!isAccepted) throw new Error("Envoy has not accepted its listeners yet");
    },
    { withinMs: 10_000 },
  );
  const readyMs = performance.now() - startMs;
  return { execMs: bare.firstLineMs, readyMs, processorMs: bareMs, afterMs: bareMs };
}

/** What it costs that the clouds' metadata address swallows packets and nobody said which cloud it is. */
async function blackHoleFigures(): Promise<readonly Figure[]> {
  if (!canBlackHole()) return [];
  const noneMs: number[] = [];
  const unsaidMs: number[] = [];
  for (let round = 0; round < blackHoleRounds; round++) {
    noneMs.push(await execInBlackHoleMs("none"));
    unsaidMs.push(await execInBlackHoleMs(undefined));
  }
  const [none, unsaid] = [median(noneMs), median(unsaidMs)];
  return [
    { name: "no metadata server, CLOUD_PLATFORM=none: start to Envoy's exec", value: none, unit: "ms" },
    { name: "no metadata server, CLOUD_PLATFORM not set: start to Envoy's exec", value: unsaid, unit: "ms" },
    { name: "the same in starts with CLOUD_PLATFORM=none", value: unsaid / none, unit: "x" },
    { name: "the same beyond CLOUD_PLATFORM=none", value: unsaid - none, unit: "ms", limit: 10 },
  ];
}
