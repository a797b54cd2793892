// SPDX-License-Identifier: Apache-2.0
import { Agent, createServer, get } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { loopback, requestHttp } from "../../src/lib/net/http-client.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import type { LoadClient } from "../support/load/http-clients.ts";
import { startSteadyLoad } from "../support/load/steady-load.ts";
import { writePlainListeners } from "../support/plain-listeners.ts";
import { type Pod, startPod } from "../support/pod.ts";

const requestsPerSecond = 100;
/** The least number of requests in the update. */
const requests = Number(process.env["ATTACHE_ROLLING_REQUESTS"] ?? 1_200);
/** How long a Service still sends new connections to a pod that ends. */
const endpointRemovalMs = 300;
/** The application's preStop hook. */
const appPreStopMs = 2_000;
/** Until the kubelet notices that the application has ended, and ends the sidecar. */
const kubeletMs = 1_000;

/** An application that ends as most do: it stops listening, and closes connections as they become idle. */
async function startApp() {
  const server = createServer((_request, response) => response.end("ok"));
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async end(): Promise<void> {
      const closed = new Promise((resolve) => server.close(resolve)).then(() => true);
      const pause = (): Promise<boolean> => systemClock.delay(100).then(() => false);
      do server.closeIdleConnections();
      while (!(await Promise.race([closed, pause()])));
    },
  };
}

interface Replica {
  readonly pod: Pod;
  readonly app: Awaited<ReturnType<typeof startApp>>;
}

/** A Service: each connection goes to one of its endpoints, and stays there. */
class ServiceAgent extends Agent {
  readonly endpoints = new Set<Replica>();
  #turn = 0;

  override createConnection(): Socket {
    const ports = [...this.endpoints].map(({ pod }) => pod.ports.inbound);
    return connect(ports[this.#turn++ % ports.length] ?? 0, "127.0.0.1");
  }
}

function keepAliveClient(service: ServiceAgent): LoadClient {
  return {
    name: "keep-alive",
    request: () =>
      new Promise((resolve, reject) => {
        const outgoing = get({ host: "service", agent: service }, (response) => {
          response.resume();
          response.once("error", reject);
          response.once("end", () => {
            if (response.statusCode === 200) resolve();
            else reject(new Error(`answered ${String(response.statusCode)}`));
          });
        });
        outgoing.once("error", reject);
      }),
    [Symbol.asyncDispose]() {
      service.destroy();
      return Promise.resolve();
    },
  };
}

/** Ends a pod with a native sidecar in Kubernetes' order: preStop hooks, the application, the sidecar. */
async function endReplica({ pod, app }: Replica, removeEndpoint: () => void): Promise<void> {
  await requestHttp({ url: loopback(pod.ports.status, "/drain"), method: "POST" });
  await systemClock.delay(endpointRemovalMs);
  removeEndpoint();
  await systemClock.delay(appPreStopMs - endpointRemovalMs);
  await app.end();
  await systemClock.delay(kubeletMs);
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  await pod[Symbol.asyncDispose]();
}

test("B15: a rolling update of native sidecars loses no request of a client that uses its kept connections in turn", async () => {
  await using ca = await startFakeCa();
  // In turn: a connection that is not used between the drain and the application's end is not closed (docs/operations.md).
  const service = new ServiceAgent({ keepAlive: true, maxSockets: 50, scheduling: "fifo" });
  const start = async (): Promise<Replica> => {
    const app = await startApp();
    const pod = await startPod({
      ca,
      env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "false", MINIMUM_DRAIN_DURATION: "5s" },
      prepare: ({ directory, ports }) => {
        writePlainListeners(directory, { http: ports.inbound, app: app.port });
      },
    });
    await pod.untilReady();
    const replica = { pod, app };
    service.endpoints.add(replica);
    return replica;
  };
  const replicas = [await start(), await start()];
  const load = startSteadyLoad({ requestsPerSecond, clients: [keepAliveClient(service)], pick: () => 0 });
  const startMs = performance.now();
  const isEnough = (): boolean => ((performance.now() - startMs) / 1_000) * requestsPerSecond >= requests;
  for (let update = 0; update < 2 || !isEnough(); update++) {
    replicas.push(await start());
    const old = replicas.shift();
    if (old !== undefined) await endReplica(old, () => service.endpoints.delete(old));
  }
  const report = await load.stop();
  for (const { pod, app } of replicas) {
    await pod[Symbol.asyncDispose]();
    await app.end();
  }
  expect(report.failures).toEqual([]);
  expect(report.requests).toBeGreaterThanOrEqual(0.9 * requests);
}, 300_000);
