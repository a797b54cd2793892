// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import type { EnvoyAdmin } from "../../../src/envoy/index.ts";
import { staticEnvoy } from "../../support/static-envoy.ts";

/**
 * A real Envoy that speaks mutual TLS with itself: a plain listener sends what it gets over TLS to a second listener,
 * which asks for a certificate and answers 200. Both sides have certificate and roots from SDS.
 */
export interface MutualEnvoy extends AsyncDisposable {
  readonly admin: EnvoyAdmin;
  /** Serials of the leaf certificates in use, each once. */
  leafSerials(): Promise<readonly string[]>;
  rootSerials(): Promise<readonly string[]>;
  /** The sum of all counters whose names match. @throws when none does */
  counter(filter: string): Promise<number>;
  /** One request through both listeners; its status. */
  get(): Promise<number>;
}

export type SdsApi = "GRPC" | "DELTA_GRPC";

export async function startMutualEnvoy(
  directory: string,
  socketPath: string,
  api: SdsApi = "GRPC",
  requestsPerConnection = 3,
): Promise<MutualEnvoy> {
  const bootstrapPath = join(directory, "mutual.json");
  await writeFile(
    bootstrapPath,
    JSON.stringify(bootstrap(socketPath, join(directory, "tls"), api, requestsPerConnection)),
  );
  const { config, untilAdmin } = await staticEnvoy(directory);
  const args = config.args.map((arg, index) => (config.args[index - 1] === "-c" ? bootstrapPath : arg));
  const envoy = spawn(config.binaryPath, args, { env: config.env, stdio: "inherit" });
  const exited = once(envoy, "exit");
  const admin = await untilAdmin();
  let port: number | undefined;
  const listenerPort = async (): Promise<number> => {
    port ??= Number(/^plain::.*:(\d+)$/m.exec(await admin.request("GET", "/listeners"))?.[1]);
    return port;
  };
  return {
    admin,
    async leafSerials() {
      return unique((await admin.certs()).flatMap(({ chain }) => chain.map(({ serial }) => serial)));
    },
    async rootSerials() {
      return unique((await admin.certs()).flatMap(({ roots }) => roots.map(({ serial }) => serial)));
    },
    async counter(filter) {
      const stats = await admin.request("GET", `/stats?filter=${filter}`);
      const values = Array.from(stats.matchAll(/: (\d+)$/gm), ([, value]) => Number(value));
      if (values.length === 0) throw new Error(`Envoy has no statistic that matches ${filter}`);
      return values.reduce((sum, value) => sum + value, 0);
    },
    get: async () => getStatus(await listenerPort()),
    async [Symbol.asyncDispose]() {
      envoy.kill("SIGKILL");
      await exited;
    },
  };
}

function getStatus(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ port, host: "127.0.0.1", agent: false, timeout: 5_000 }, (response) => {
      response.resume();
      response.on("end", () => {
        resolve(response.statusCode ?? 0);
      });
    });
    call.on("timeout", () => call.destroy(new Error("no answer")));
    call.on("error", reject);
    call.end();
  });
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}

const type = (name: string): string => `type.googleapis.com/envoy.${name}`;

function bootstrap(socketPath: string, tlsPath: string, api: SdsApi, requestsPerConnection: number): unknown {
  const secret = (name: string) => ({
    name,
    sds_config: {
      api_config_source: {
        api_type: api,
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
      },
      initial_fetch_timeout: "0s",
      resource_api_version: "V3",
    },
  });
  const tls = {
    // as Istio configures both sides
    tls_params: { tls_minimum_protocol_version: "TLSv1_2", tls_maximum_protocol_version: "TLSv1_3" },
    tls_certificate_sds_secret_configs: [secret("default")],
    validation_context_sds_secret_config: secret("ROOTCA"),
  };
  return {
    node: { id: "sidecar~127.0.0.1~web.demo~demo.svc.cluster.local", cluster: "web.demo" },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
    static_resources: {
      clusters: [
        {
          name: "sds-grpc",
          connect_timeout: "1s",
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": type("extensions.upstreams.http.v3.HttpProtocolOptions"),
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: endpoint("sds-grpc", socketPath),
        },
        {
          name: "peer",
          connect_timeout: "5s",
          // every few requests a handshake, so that each certificate comes to use
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": type("extensions.upstreams.http.v3.HttpProtocolOptions"),
              common_http_protocol_options: { max_requests_per_connection: requestsPerConnection },
              explicit_http_config: { http_protocol_options: {} },
            },
          },
          load_assignment: endpoint("peer", tlsPath),
          transport_socket: {
            name: "envoy.transport_sockets.tls",
            typed_config: {
              "@type": type("extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
              common_tls_context: tls,
            },
          },
        },
      ],
      listeners: [
        {
          name: "plain",
          address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
          filter_chains: [{ filters: [http("plain", { route: { cluster: "peer" } })] }],
        },
        {
          name: "tls",
          address: { pipe: { path: tlsPath } },
          filter_chains: [
            {
              filters: [http("tls", { direct_response: { status: 200 } })],
              transport_socket: {
                name: "envoy.transport_sockets.tls",
                typed_config: {
                  "@type": type("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
                  require_client_certificate: true,
                  common_tls_context: tls,
                },
              },
            },
          ],
        },
      ],
    },
  };
}

function endpoint(cluster: string, path: string): unknown {
  return {
    cluster_name: cluster,
    endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
  };
}

function http(name: string, action: object): unknown {
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
      stat_prefix: name,
      route_config: { virtual_hosts: [{ name, domains: ["*"], routes: [{ match: { prefix: "/" }, ...action }] }] },
      http_filters: [
        {
          name: "envoy.filters.http.router",
          typed_config: { "@type": type("extensions.filters.http.router.v3.Router") },
        },
      ],
    },
  };
}
