// SPDX-License-Identifier: Apache-2.0
// What the pod under attack has to do with and that is as bad as it can be: an application of which one port has hostile
// metrics and another never responds, and a control plane that sends the pod's listener, and much that cannot be used.
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { setPriority } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { startFakeControlPlane } from "../../test/fakes/fake-control-plane.ts";
import { encodeEnvoy } from "../../test/support/envoy-api.ts";
import { kubernetes, nameTableResource } from "../../test/support/name-tables.ts";

export interface HostileApplication {
  readonly bad: number;
  readonly hanging: number;
  readonly controlPlane: number;
}

/** Sent by the parent: what the control plane serves. */
export interface GoodResources {
  readonly inboundPort: number;
  readonly appPort: number;
}

const floods: readonly string[] = [
  `# TYPE a gauge\n${"# TYPE a counter\n".repeat(200_000)}`,
  `# HELP a${" ".repeat(250_000)}x\rx\na 1\n`,
  Array.from({ length: 200_000 }, (_, number) => `# TYPE a${String(number)} gauge\n`).join(""),
];

async function listen(handle: RequestListener): Promise<number> {
  const server = createServer(handle).listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const address = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

function cluster(port: number): Uint8Array {
  const endpoints = [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }];
  return encodeEnvoy("envoy.config.cluster.v3.Cluster", {
    name: "app",
    connect_timeout: { seconds: 1 },
    type: "STATIC",
    load_assignment: { cluster_name: "app", endpoints },
  });
}

/** Passes everything on to the application. */
function listener(port: number): Uint8Array {
  const type = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
  const proxy = { "@type": `type.googleapis.com/${type}`, stat_prefix: "in", cluster: "app" };
  return encodeEnvoy("envoy.config.listener.v3.Listener", {
    name: "inbound",
    address: address(port),
    filter_chains: [{ filters: [{ name: "envoy.filters.network.tcp_proxy", typed_config: proxy }] }],
  });
}

/** A table of 10,000 services, and one of 100,000, for which there is no space. */
const tables = [10_000, 100_000].map((services) =>
  nameTableResource(
    Array.from({ length: services }, (_, number) =>
      kubernetes(`service-${String(number)}`, "namespace", [
        `10.0.${String((number >> 8) & 255)}.${String(number & 255)}`,
      ]),
    ),
  ),
);

setPriority(10);
let scrape = 0;
const bad = await listen((_request, response) => response.end(floods[scrape++ % floods.length]));
const hanging = await listen(() => undefined);
const controlPlane = await startFakeControlPlane();
process.on("message", ({ inboundPort, appPort }: GoodResources) => {
  controlPlane.set(typeUrls.cluster, [{ name: "app", version: "1", value: cluster(appPort) }]);
  controlPlane.set(typeUrls.listener, [{ name: "inbound", version: "1", value: listener(inboundPort) }]);
  void attack();
});
process.send?.({ bad, hanging, controlPlane: controlPlane.port } satisfies HostileApplication);

/** New tables all the time, to every stream that wants them. */
async function attack(): Promise<void> {
  for (let round = 0; process.connected; round++) {
    await pause(1_000);
    controlPlane.requests.length = 0;
    const table = tables[round % 4 === 3 ? 1 : 0];
    if (table !== undefined) controlPlane.set(typeUrls.nameTable, [{ ...table, version: String(round) }]);
  }
}
