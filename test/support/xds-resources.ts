// SPDX-License-Identifier: Apache-2.0
import type { FakeResource } from "../fakes/fake-control-plane.ts";
import { encodeEnvoy } from "./envoy-api.ts";

/** A cluster without endpoints; `bad` makes one that Envoy rejects. */
export function clusterResource(name: string, version: string, bad = false): FakeResource {
  const value = encodeEnvoy("envoy.config.cluster.v3.Cluster", {
    name,
    connect_timeout: { seconds: 1 },
    type: "STATIC",
    lb_policy: bad ? "CLUSTER_PROVIDED" : "ROUND_ROBIN",
    load_assignment: { cluster_name: name, endpoints: [] },
  });
  return { name, version, value };
}

/** A listener that answers every request with `body` by itself. */
export function listenerResource(name: string, port: number, body: string): FakeResource {
  const router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
  const manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  const route = { match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: body } } };
  const value = encodeEnvoy("envoy.config.listener.v3.Listener", {
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [
      {
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type": `type.googleapis.com/${manager}`,
              stat_prefix: "test",
              route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] },
              http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": router } }],
            },
          },
        ],
      },
    ],
  });
  return { name, version: body, value };
}
