// SPDX-License-Identifier: Apache-2.0
import { dirname, join } from "node:path";
import { systemClock } from "../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../src/lib/grpc/client.ts";
import { readWhole } from "../../src/lib/grpc/message.ts";
import { renderRequest, type XdsRequest } from "../../src/xds/protocol/request.ts";
import { parseResponse, type XdsResponse } from "../../src/xds/protocol/response.ts";
import { bundleProgram } from "./bundled.ts";
import { asAgent, startProgram } from "./child-program.ts";
import { watchMemory } from "./memory-watch.ts";

export interface MeshFacts {
  /** Since the call before. */
  readonly blockMs: number;
  /** In the name table. */
  readonly services: number;
}

/** The xDS proxy in a process of its own. */
export interface MeshServer extends AsyncDisposable {
  readonly pid: number;
  readonly socketPath: string;
  read(): Promise<MeshFacts>;
}

export async function startMeshServer(socketPath: string, controlPlanePort: number): Promise<MeshServer> {
  const program = await bundleProgram(join(import.meta.dirname, "mesh-server.ts"), dirname(socketPath));
  const server = await startProgram(program, [socketPath, String(controlPlanePort)], asAgent);
  return {
    pid: server.pid,
    socketPath,
    read: async () => (await server.ask("read")) as MeshFacts,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A delta stream as Envoy's. */
export interface MeshStream extends AsyncDisposable {
  subscribe(typeUrl: string, facts?: Partial<XdsRequest>): Promise<void>;
  next(): Promise<XdsResponse>;
}

export async function openStream({ socketPath }: MeshServer): Promise<MeshStream> {
  const target = { kind: "unix", path: socketPath } as const;
  const options = { target, authority: "xds-grpc", maxReceiveBytes: 2 ** 31 - 1 };
  const channel = createGrpcChannel(options, { clock: systemClock });
  const stream = await channel.stream(
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
  );
  const responses = stream.responses[Symbol.asyncIterator]();
  return {
    subscribe: (typeUrl, facts = {}) => stream.write(renderRequest({ typeUrl, ...facts }, "delta")),
    async next() {
      const response = await responses.next();
      if (response.done === true) throw new Error("the stream has ended");
      return parseResponse(await readWhole(response.value), "delta");
    },
    [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose](),
  };
}

/** Time, longest turn of the event loop and peak of the private memory during the work. */
export async function measure(server: MeshServer, work: () => Promise<void>) {
  await server.read();
  const memory = watchMemory(server.pid);
  const startMs = performance.now();
  await work();
  const ms = performance.now() - startMs;
  return { ms, peak: memory.stop(), ...(await server.read()) };
}
