// SPDX-License-Identifier: Apache-2.0
import { Agent, type AgentOptions, createServer, get } from "node:http";
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
const requests = Number(process.env["ATTACHE_ROLLING_REQUESTS"] ?? 1_000);
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

type Service = Set<Replica>;

/** A client of a Service: each connection goes to one of its endpoints, and stays there. */
class ServiceAgent extends Agent {
  readonly #service: Service;
  #turn = 0;

  constructor(service: Service, options: AgentOptions) {
    super(options);
    this.#service = service;
  }

  override createConnection(): Socket {
    const ports = [...this.#service].map(({ pod }) => pod.ports.inbound);
    return connect(ports[this.#turn++ % ports.length] ?? 0, "127.0.0.1");
  }
}

/** Clients that a rolling update must not disturb (docs/operations.md has those that it may). */
function clientsOf(service: Service): readonly LoadClient[] {
  return [
    clientOf("a pool that is used in turn", service, { keepAlive: true, maxSockets: 50, scheduling: "fifo" }),
    clientOf("one connection", service, { keepAlive: true, maxSockets: 1 }),
    clientOf("a new connection for each request", service, { keepAlive: false }),
  ];
}

function clientOf(name: string, service: Service, options: AgentOptions): LoadClient {
  const agent = new ServiceAgent(service, options);
  return {
    name,
    request: () =>
      new Promise((resolve, reject) => {
        const outgoing = get({ host: "service", agent }, (response) => {
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
      agent.destroy();
      return Promise.resolve();
    },
  };
}

type Sidecar = "native" | "classic";

/** Ends a pod in Kubernetes' order: preStop hooks, then the application, then a native sidecar; a classic one at once. */
async function endReplica(sidecar: Sidecar, { pod, app }: Replica, removeEndpoint: () => void): Promise<void> {
  if (sidecar === "classic") pod.kill("SIGTERM");
  else await requestHttp({ url: loopback(pod.ports.status, "/drain"), method: "POST" });
  await systemClock.delay(endpointRemovalMs);
  removeEndpoint();
  await systemClock.delay(appPreStopMs - endpointRemovalMs);
  await app.end();
  await systemClock.delay(kubeletMs);
  if (sidecar === "native") pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  await pod[Symbol.asyncDispose]();
}

test.each<Sidecar>(["native", "classic"])(
  "B15: a rolling update of %s sidecars loses no request",
  async (sidecar) => {
    await using ca = await startFakeCa();
    const service: Service = new Set();
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
      service.add(replica);
      return replica;
    };
    const replicas = [await start(), await start()];
    const load = startSteadyLoad({ requestsPerSecond, clients: clientsOf(service), pick: () => 0 });
    const startMs = performance.now();
    const isEnough = (): boolean => ((performance.now() - startMs) / 1_000) * requestsPerSecond >= requests;
    for (let update = 0; update < 2 || !isEnough(); update++) {
      replicas.push(await start());
      const old = replicas.shift();
      if (old !== undefined) await endReplica(sidecar, old, () => service.delete(old));
    }
    const report = await load.stop();
    for (const { pod, app } of replicas) {
      await pod[Symbol.asyncDispose]();
      await app.end();
    }
    expect(report.failures).toEqual([]);
    expect(report.requests).toBeGreaterThanOrEqual(0.9 * requests);
  },
  300_000,
);
