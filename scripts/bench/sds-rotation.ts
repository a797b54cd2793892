// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiscoveryRequest, DiscoveryResponse } from "../../src/gen/envoy/service/discovery/v3/discovery.ts";
import type { KeyAlgorithm } from "../../src/cert/types.ts";
import { createKeyAndRequest } from "../../src/cert/csr.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { type ClientStream, createGrpcChannel } from "../../src/lib/grpc/client.ts";
import { readWhole } from "../../src/lib/grpc/message.ts";
import { type Figure, median } from "./figure.ts";

const method = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";
const rotations = 5;

/** The last one is near the limit on streams of one client, `sds-streams-of-connection`. */
const streamCounts = [1, 100, 500];

/** What a rotation costs the streams of one client, of the server alone; time for a key and its CSR. */
export async function measureRotations(): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const streams of streamCounts) figures.push(...(await withServer((server) => measure(server, streams))));
  for (const algorithm of algorithms) figures.push(await measureCsr(algorithm));
  return figures;
}

const algorithms: readonly KeyAlgorithm[] = [
  { kind: "ec", curve: "P-256" },
  { kind: "ec", curve: "P-384" },
  { kind: "rsa", bits: 2_048 },
];
const csrRuns = 15;

async function measureCsr(algorithm: KeyAlgorithm): Promise<Figure> {
  const durationsMs: number[] = [];
  for (let index = 0; index < csrRuns; index++) {
    const startMs = performance.now();
    await createKeyAndRequest(algorithm, "spiffe://cluster.local/ns/demo/sa/web");
    durationsMs.push(performance.now() - startMs);
  }
  const key = algorithm.kind === "ec" ? `EC ${algorithm.curve}` : `RSA ${String(algorithm.bits)}`;
  return { name: `${key}: new key and CSR, median`, value: median(durationsMs), unit: "ms" };
}

interface Server {
  readonly socketPath: string;
  readonly child: ChildProcess;
}

async function withServer<T>(use: (server: Server) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "bench-"));
  const socketPath = join(directory, "socket");
  const child = fork(join(import.meta.dirname, "sds-server.ts"), [socketPath], { execArgv: [] });
  try {
    await once(child, "message");
    return await use({ socketPath, child });
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
    await rm(directory, { recursive: true });
  }
}

async function measure({ socketPath, child }: Server, streams: number): Promise<readonly Figure[]> {
  await using channel = createGrpcChannel(
    { target: { kind: "unix", path: socketPath }, authority: "sds-grpc" },
    { clock: systemClock },
  );
  const counter = new Arrivals(streams);
  const first = counter.untilAll(0);
  const open = await Promise.all(Array.from({ length: streams }, () => channel.stream(method)));
  const failure = Promise.all(open.map((stream) => readAll(stream, counter)));
  failure.catch(() => undefined); // the streams are cancelled at the end
  await Promise.all(open.map((stream) => stream.write(request(""))));
  await Promise.race([first, failure]);
  let rotationMs = 0;
  let maxMs = 0;
  for (let rotation = 1; rotation <= rotations; rotation++) {
    const all = counter.untilAll(rotation);
    const startMs = performance.now();
    child.send({ rotate: rotation });
    await Promise.race([all, failure]);
    rotationMs += (performance.now() - startMs) / rotations;
    const report = once(child, "message");
    child.send({ report: true });
    const [facts] = (await report) as [{ readonly maxMs: number }];
    maxMs = Math.max(maxMs, facts.maxMs);
  }
  for (const stream of open) stream.cancel();
  const of = `${String(streams)} stream${streams === 1 ? "" : "s"}`;
  return [
    { name: `${of}: rotation to all have it`, value: rotationMs, unit: "ms" },
    { name: `${of}: longest event-loop delay of the server in a rotation`, value: maxMs, unit: "ms" },
  ];
}

/** Counts streams that have received certificate number n. */
class Arrivals {
  readonly #streams: number;
  #generation = 0;
  #missing = 0;
  #done: () => void = () => undefined;

  constructor(streams: number) {
    this.#streams = streams;
  }

  untilAll(generation: number): Promise<void> {
    this.#generation = generation;
    this.#missing = this.#streams;
    return new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  arrived(generation: number): void {
    if (generation === this.#generation && --this.#missing === 0) this.#done();
  }
}

/** @throws when the stream ends */
async function readAll(stream: ClientStream, counter: Arrivals): Promise<never> {
  for await (const message of stream.responses) {
    const { nonce, resources } = DiscoveryResponse.decode(await readWhole(message));
    const text = resources[0]?.value.toString("latin1") ?? "";
    await stream.write(request(nonce));
    counter.arrived(Number(/(\d+) C/.exec(text)?.[1]));
  }
  throw new Error("the server ended a stream");
}

function request(responseNonce: string): Uint8Array {
  return DiscoveryRequest.encode(
    DiscoveryRequest.fromPartial({ node: { id: "bench" }, resourceNames: ["default"], responseNonce }),
  ).finish();
}
