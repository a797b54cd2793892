// SPDX-License-Identifier: Apache-2.0
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FakeCa, startFakeCa } from "../fakes/fake-ca.ts";
import { type FakeControlPlane, startFakeControlPlane } from "../fakes/fake-control-plane.ts";
import { typeUrls } from "../../src/xds/protocol/type-url.ts";
import { encodeEnvoy } from "./envoy-api.ts";
import { type Pod, type PodOptions, startPod } from "./pod.ts";
import { clusterResource } from "./xds-resources.ts";

/** A pod in a state that its status page has to explain. */
export interface Scene extends AsyncDisposable {
  readonly pod: Pod;
  readonly ca: FakeCa;
  readonly controlPlane: FakeControlPlane;
  /** Of the page. */
  readonly url: string;
}

const routeTypeUrl = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";

const starts = {
  healthy: (stack: AsyncDisposableStack) => startMeshPod(stack),
  /** Envoy rejects the second version of its routes: a domain is there twice. */
  async "refused route"(stack: AsyncDisposableStack) {
    const scene = await startMeshPod(stack);
    scene.controlPlane.set(routeTypeUrl, [routes("2", ["shop", "*"], ["shop"])]);
    return scene;
  },
  /** The CA refuses after its first certificate, which lives for three seconds. */
  async "expired certificate"(stack: AsyncDisposableStack) {
    const scene = await startMeshPod(stack, { lifetimeMs: 3_000 });
    scene.ca.set({ kind: "refuse", status: "UNAVAILABLE" });
    return scene;
  },
  /** Envoy's program exits at once, and is started again and again. */
  "no Envoy": (stack: AsyncDisposableStack) =>
    startMeshPod(stack, {
      isReady: false,
      env: { ATTACHE_ENVOY_RESTARTS: "100" },
      binary: "#!/bin/sh\nexit 3\n",
    }),
  "no token": (stack: AsyncDisposableStack) => startMeshPod(stack, { isReady: false, token: "" }),
} as const;

export type SceneName = keyof typeof starts;

/** A real agent with a real Envoy, with a CA and a control plane of the test. */
export async function startScene(name: SceneName): Promise<Scene> {
  await using stack = new AsyncDisposableStack();
  const scene = await starts[name](stack);
  const owned = stack.move();
  return { ...scene, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface SceneOptions {
  readonly lifetimeMs?: number;
  readonly token?: string;
  readonly env?: PodOptions["env"];
  /** In place of Envoy. */
  readonly binary?: string;
  readonly isReady?: boolean;
}

async function startMeshPod(
  stack: AsyncDisposableStack,
  { lifetimeMs = 24 * 3_600_000, token, env = {}, binary, isReady = true }: SceneOptions = {},
): Promise<Omit<Scene, keyof AsyncDisposable>> {
  const ca = stack.use(await startFakeCa({ lifetimeMs }));
  const controlPlane = stack.use(await startFakeControlPlane());
  const probers = { "/app-health/shop/livez": { tcpSocket: { port: ca.port } } };
  const options: PodOptions = {
    ca,
    token,
    proxyConfig: {
      discoveryAddress: `127.0.0.1:${String(controlPlane.port)}`,
      controlPlaneAuthPolicy: "NONE",
      ...(binary === undefined ? {} : { binaryPath: "./envoy-program" }),
    },
    env: {
      ATTACHE_XDS_FILES: "",
      ISTIO_KUBE_APP_PROBERS: JSON.stringify(probers),
      POD_NAME: "shop-7d4b9c6f5-x2k8p",
      POD_NAMESPACE: "shop",
      SERVICE_ACCOUNT: "shop",
      ...env,
    },
    prepare({ directory, ports }) {
      controlPlane.set(typeUrls.cluster, [clusterResource("orders", "1"), clusterResource("stock", "1")]);
      controlPlane.set(typeUrls.listener, [meshListener(ports.inbound)]);
      controlPlane.set(routeTypeUrl, [routes("1", ["*"])]);
      if (binary === undefined) return;
      writeFileSync(join(directory, "envoy-program"), binary);
      chmodSync(join(directory, "envoy-program"), 0o755);
    },
  };
  const pod = stack.use(await startPod(options));
  const url = `http://127.0.0.1:${String(pod.ports.status)}/`;
  if (isReady) {
    await pod.untilReady();
    await fetch(`${url}app-health/shop/livez`);
  }
  return { pod, ca, controlPlane, url };
}

/** mTLS with the workload's certificate, and routes that come on their own. */
function meshListener(port: number) {
  const sds = (name: string) => ({
    name,
    sds_config: {
      resource_api_version: "V3",
      api_config_source: {
        api_type: "GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
      },
    },
  });
  const manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
  const router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
  const value = encodeEnvoy("envoy.config.listener.v3.Listener", {
    name: "inbound",
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [
      {
        transport_socket: {
          name: "envoy.transport_sockets.tls",
          typed_config: {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            require_client_certificate: { value: true },
            common_tls_context: {
              tls_certificate_sds_secret_configs: [sds("default")],
              validation_context_sds_secret_config: sds("ROOTCA"),
            },
          },
        },
        filters: [
          {
            name: "envoy.filters.network.http_connection_manager",
            typed_config: {
              "@type": `type.googleapis.com/${manager}`,
              stat_prefix: "inbound",
              rds: { route_config_name: "shop", config_source: { ads: {}, resource_api_version: "V3" } },
              http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": router } }],
            },
          },
        ],
      },
    ],
  });
  return { name: "inbound", version: "1", value };
}

function routes(version: string, ...hosts: readonly (readonly string[])[]) {
  const route = { match: { prefix: "/" }, direct_response: { status: 200 } };
  const value = encodeEnvoy("envoy.config.route.v3.RouteConfiguration", {
    name: "shop",
    virtual_hosts: hosts.map((domains, index) => ({ name: `host-${String(index)}`, domains, routes: [route] })),
  });
  return { name: "shop", version, value };
}
