// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeApp } from "../../test/fakes/fake-app.ts";
import { ask } from "../../test/support/dns-client.ts";
import { encodeQuery } from "../../test/support/dns-messages.ts";
import { eventually } from "../../test/support/eventually.ts";
import { freePorts } from "../../test/support/free-ports.ts";
import { kubernetes, nameTableResource } from "../../test/support/name-tables.ts";
import type { Pod } from "../../test/support/pod.ts";
import { clusterResource } from "../../test/support/xds-resources.ts";
import { type Backends, startBackends, startBenchPod } from "./bench-pod.ts";
import type { Comparison } from "./comparison.ts";
import { addressOf, hostOf } from "./dns-names.ts";
import type { Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { answers } from "./measured-start.ts";
import { findPeer, type Peer } from "./peer.ts";
import { privateMegabytes, processorMs } from "./processes.ts";
import { push } from "./pushes.ts";
import { type Readings, runInRounds } from "./rounds.ts";
import { openSecretStreams } from "./sds-client.ts";

export const name = "growth";

const rounds = 2;
/** By then the work of a step is over. */
const settleMs = 500;
/** Of a pod that is ready, before the first step. */
const restMs = 2_000;
const probeSeconds = 3;
const scrapes = 3;

/** One kind of work, and how much of it each step has. */
interface Dimension {
  readonly what: string;
  readonly steps: readonly number[];
  /** What the processor time of a step is for. */
  readonly cost: string;
  readonly env?: (place: { readonly dnsPort: number; readonly appPort: number }) => Readonly<Record<string, string>>;
  /**
   * @returns how many times the step was done
   * @throws LoadError when less was done than the step says
   */
  step(size: number, place: Place): Promise<number>;
}

interface Place {
  readonly pod: Pod;
  readonly backends: Backends;
  readonly dnsPort: number;
  readonly app: { series: number };
  /** What stays open until the step is measured. */
  readonly stack: AsyncDisposableStack;
}

const dimensions: readonly Dimension[] = [
  {
    what: "services",
    steps: [0, 200, 2_000, 20_000],
    cost: "for their push",
    env: ({ dnsPort }) => ({ ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: `127.0.0.1:${String(dnsPort)}` }),
    step: pushServices,
  },
  { what: "SDS streams", steps: [1, 10, 100, 1_000], cost: "for their first secret", step: openStreams },
  {
    what: "series",
    steps: [10, 1_000, 10_000, 100_000],
    cost: "a scrape",
    env: ({ appPort }) => ({
      ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", port: String(appPort), path: "/" }),
    }),
    step: scrapeSeries,
  },
  { what: "probes a second", steps: [1, 10, 100, 1_000], cost: "a second", step: probe },
];

/** What each kind of work costs the agent and its peer as it grows: processor time, and private memory afterwards. */
export async function run(): Promise<readonly Row[]> {
  await using backends = await startBackends();
  const peer = findPeer();
  const rows: Comparison[] = [];
  for (const dimension of dimensions) rows.push(...(await compare(dimension, backends, peer)));
  return rows;
}

async function compare(
  dimension: Dimension,
  backends: Backends,
  peer: Peer | undefined,
): Promise<readonly Comparison[]> {
  const grow = (of: Peer | undefined) => (): Promise<Readings> => measure(dimension, backends, of);
  const { what, steps, cost } = dimension;
  const row = (size: number, figure: string, unit: string) => ({
    name: `${size.toLocaleString("en")} ${what}: ${figure}`,
    unit,
    point: { along: what, at: size, figure },
  });
  return await runInRounds({
    rounds,
    warmUps: 0,
    subjects: { attache: grow(undefined), peer: peer === undefined ? undefined : grow(peer) },
    rows: Object.fromEntries(
      steps.flatMap((size) => [
        [`cpu ${String(size)}`, row(size, `processor time ${cost}`, "ms")],
        [`mb ${String(size)}`, row(size, "private memory", "MB")],
      ]),
    ),
  });
}

async function measure(dimension: Dimension, backends: Backends, peer: Peer | undefined): Promise<Readings> {
  await using stack = new AsyncDisposableStack();
  const state = { series: 0 };
  const app = stack.use(await startFakeApp((_request, response) => response.end(seriesText(state.series))));
  const [dnsPort = 0] = await freePorts(1);
  backends.controlPlane.set(typeUrls.nameTable, [nameTableResource([], "0")]);
  const env = dimension.env?.({ dnsPort, appPort: app.port }) ?? {};
  const pod = stack.use(await startBenchPod({ backends, peer, env }));
  await eventually(
    async () => {
      if (!(await answers(pod.ports.status, "/healthz/ready")))
        throw new Error(`not ready:\n${pod.log().slice(-2_000)}`);
    },
    { withinMs: 30_000, everyMs: 50 },
  );
  await pause(restMs);
  const readings: Record<string, number> = {};
  for (const size of dimension.steps) {
    await using opened = new AsyncDisposableStack();
    const before = processorMs(pod.pid);
    const times = await dimension.step(size, { pod, backends, dnsPort, app: state, stack: opened });
    await pause(settleMs);
    readings[`cpu ${String(size)}`] = (processorMs(pod.pid) - before) / times;
    readings[`mb ${String(size)}`] = privateMegabytes(pod.pid);
  }
  return readings;
}

/** A cluster and a name for each. */
async function pushServices(size: number, { pod, backends, dnsPort }: Place): Promise<number> {
  const { controlPlane } = backends;
  const version = String(size);
  const clusters = Array.from({ length: size }, (_, index) =>
    clusterResource(`outbound|80||${hostOf(index)}`, version),
  );
  const services = Array.from({ length: size }, (_, index) =>
    kubernetes(`s${String(index)}`, "ns", [addressOf(index)]),
  );
  controlPlane.set(typeUrls.nameTable, [nameTableResource(services, version)]);
  await push(controlPlane, pod, clusters);
  if (size === 0) return 1;
  await eventually(
    async () => {
      const reply = await ask({ host: "127.0.0.1", port: dnsPort }, "udp", encodeQuery(hostOf(size - 1)));
      if (reply.answers.length !== 1) throw new Error(`the agent does not know service ${String(size - 1)}`);
    },
    { withinMs: 10_000, everyMs: 100 },
  );
  return 1;
}

async function openStreams(size: number, { pod, stack }: Place): Promise<number> {
  const socketPath = join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket");
  const streams = stack.use(await openSecretStreams(socketPath, size));
  assertLoad("SDS streams with a secret", streams.responses, size, 1);
  return 1;
}

function seriesText(count: number): string {
  const lines = Array.from({ length: count }, (_, index) => {
    return `app_requests_total{path="/a/path/of/some/length",code="200",series="${String(index)}"} ${String(index)}\n`;
  });
  return `# TYPE app_requests_total counter\n${lines.join("")}`;
}

async function scrapeSeries(size: number, { pod, app }: Place): Promise<number> {
  app.series = size;
  for (let time = 0; time < scrapes; time++) {
    const answer = await fetch(`http://127.0.0.1:${String(pod.ports.status)}/stats/prometheus`);
    const received = (await answer.text()).split("\napp_requests_total{").length - 1;
    assertLoad("series in a scrape", received, size, 1);
  }
  return scrapes;
}

async function probe(size: number, { pod }: Place): Promise<number> {
  const count = size * probeSeconds;
  const startMs = performance.now();
  let answered = 0;
  const all = Array.from({ length: count }, async (_, index) => {
    await pause(Math.max(0, startMs + (index * 1_000) / size - performance.now()));
    if (await answers(pod.ports.status, "/healthz/ready")) answered++;
  });
  await Promise.all(all);
  assertLoad("probes answered", answered, count, 1);
  return probeSeconds;
}
