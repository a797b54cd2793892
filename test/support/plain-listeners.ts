// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface PlainListeners {
  /** HTTP of all versions and WebSocket, without TLS, sent on to the application. */
  readonly http: number;
  /** Plain TCP, sent on to the application. */
  readonly tcp?: number;
  /** The application's port on loopback; undefined: the listener answers 200 itself. */
  readonly app?: number;
  /** Default 127.0.0.1. */
  readonly address?: string;
}

const typeUrl = (name: string): string => `type.googleapis.com/envoy.${name}`;

function listener(name: string, address: string, port: number, filter: object): object {
  return {
    "@type": typeUrl("config.listener.v3.Listener"),
    name,
    traffic_direction: "INBOUND",
    address: { socket_address: { address, port_value: port } },
    filter_chains: [{ filters: [filter] }],
  };
}

function httpFilter(hasApp: boolean): object {
  const action = hasApp ? { route: { cluster: "app", timeout: "0s" } } : { direct_response: { status: 200 } };
  const routerType = typeUrl("extensions.filters.http.router.v3.Router");
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": typeUrl("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
      stat_prefix: "inbound",
      upgrade_configs: [{ upgrade_type: "websocket" }],
      route_config: {
        virtual_hosts: [{ name: "any", domains: ["*"], routes: [{ match: { prefix: "/" }, ...action }] }],
      },
      http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": routerType } }],
    },
  };
}

const tcpFilter = {
  name: "envoy.filters.network.tcp_proxy",
  typed_config: {
    "@type": typeUrl("extensions.filters.network.tcp_proxy.v3.TcpProxy"),
    stat_prefix: "tcp",
    cluster: "app",
  },
};

/** Writes listeners without TLS in the place of a pod's own, so that plain clients can use them. JSON is YAML. */
export function writePlainListeners(
  directory: string,
  { http, tcp, app, address = "127.0.0.1" }: PlainListeners,
): void {
  const write = (name: string, resources: readonly object[]): void => {
    writeFileSync(join(directory, "resources", name), JSON.stringify({ version_info: "1", resources }));
  };
  write("lds.yaml", [
    listener("inbound", address, http, httpFilter(app !== undefined)),
    ...(tcp === undefined ? [] : [listener("tcp", address, tcp, tcpFilter)]),
  ]);
  const endpoint = { address: { socket_address: { address: "127.0.0.1", port_value: app } } };
  const cluster = {
    "@type": typeUrl("config.cluster.v3.Cluster"),
    name: "app",
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: { cluster_name: "app", endpoints: [{ lb_endpoints: [{ endpoint }] }] },
  };
  write("cds.yaml", app === undefined ? [] : [cluster]);
}
