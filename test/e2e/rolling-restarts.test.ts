// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { connectingClient, http2Client, keepAliveClient } from "../support/load/http-clients.ts";
import { startReadinessBalancer } from "../support/load/readiness-balancer.ts";
import { startSteadyLoad } from "../support/load/steady-load.ts";
import { type Pod, startPod } from "../support/pod.ts";

const replicas = 3;
const restarts = 50;
const requestsPerSecond = 500;
/**
 * The balancer looks every 50 ms; an endpoint that goes must serve on until everybody has noticed. Clients keep idle
 * connections, so the drain has an end that does not wait for them.
 */
const env = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "false", MINIMUM_DRAIN_DURATION: "300ms" };
const proxyConfig = { terminationDrainDuration: "500ms" };

/** A listener without TLS in the place of the pod's own, so that plain clients can use it. */
async function prepare({ directory, ports }: Parameters<NonNullable<Parameters<typeof startPod>[0]["prepare"]>>[0]) {
  const typeUrl = (name: string): string => `type.googleapis.com/envoy.${name}`;
  const listener = {
    "@type": typeUrl("config.listener.v3.Listener"),
    name: "inbound",
    traffic_direction: "INBOUND",
    address: { socket_address: { address: "127.0.0.1", port_value: ports.inbound } },
    filter_chains: [
      {
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type": typeUrl("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
              stat_prefix: "inbound",
              route_config: {
                virtual_hosts: [
                  {
                    name: "any",
                    domains: ["*"],
                    routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }],
                  },
                ],
              },
              http_filters: [
                {
                  name: "envoy.filters.http.router",
                  typed_config: { "@type": typeUrl("extensions.filters.http.router.v3.Router") },
                },
              ],
            },
          },
        ],
      },
    ],
  };
  // JSON is YAML
  await writeFile(join(directory, "resources/lds.yaml"), JSON.stringify({ version_info: "1", resources: [listener] }));
}

test("50 rolling restarts under 500 requests a second lose no request", { timeout: 300_000 }, async () => {
  await using ca = await startFakeCa();
  const start = async (): Promise<Pod> => {
    const pod = await startPod({ ca, env, proxyConfig, prepare });
    await pod.untilReady();
    return pod;
  };
  const end = async (pod: Pod): Promise<void> => {
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    balancer.remove(pod.ports);
    await pod[Symbol.asyncDispose]();
  };
  await using balancer = startReadinessBalancer();
  const pods = await Promise.all(Array.from({ length: replicas }, start));
  for (const pod of pods) balancer.add(pod.ports);
  await balancer.untilReady(replicas);
  const clients = [keepAliveClient(), http2Client(), connectingClient()];
  const startMs = performance.now();
  const load = startSteadyLoad({ requestsPerSecond, clients, pick: () => balancer.pick() });
  try {
    for (let restart = 0; restart < restarts; restart++) {
      const old = pods.shift();
      if (old === undefined) throw new Error("there is no pod to restart");
      const [fresh] = await Promise.all([start(), end(old)]);
      pods.push(fresh);
      balancer.add(fresh.ports);
      await balancer.untilReady(replicas);
    }
  } finally {
    const report = await load.stop();
    const dueRequests = ((performance.now() - startMs) / 1_000) * requestsPerSecond;
    await Promise.all(pods.map((pod) => pod[Symbol.asyncDispose]()));
    expect(report.failures).toEqual([]);
    expect(report.requests).toBeGreaterThan(0.9 * dueRequests);
    expect(Object.keys(report.byClient)).toHaveLength(3);
  }
});
