// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EnvoyAdmin, EnvoyConfig } from "../../src/envoy/index.ts";
import { bothExpected } from "../../src/model/bootstrap-facts.ts";
import { createEnvoyAdmin } from "../../src/envoy/running-envoy.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { envoyBinary } from "./envoy-binary.ts";
import { eventually } from "./eventually.ts";

/** A real Envoy's configuration with one HTTP listener that answers 200 by itself, and no control plane. */
export interface StaticEnvoy {
  readonly config: EnvoyConfig;
  /** The admin client, as soon as Envoy has told its port. */
  readonly untilAdmin: () => Promise<EnvoyAdmin>;
  /** The admin client once Envoy is live and its workers run. */
  readonly untilLive: () => Promise<EnvoyAdmin>;
  /** The port of the listener; Envoy must be live. */
  readonly listenerPort: () => Promise<number>;
}

const plainDrain: EnvoyConfig["drain"] = {
  direction: "inbound",
  periodMs: 5_000,
  minimumMs: 0,
  jitterMs: 0,
  killAfterMs: 300,
  uncountedPorts: [],
  endsUncounted: false,
  countsSockets: true,
};

/** Writes the bootstrap into `directory`; ports 0 let Envoy choose. @param drain replaces parts of the drain settings (period 5 s, no minimum) */
export async function staticEnvoy(
  directory: string,
  drain: Partial<EnvoyConfig["drain"]> = {},
  ports: { readonly admin: number; readonly listener: number } = { admin: 0, listener: 0 },
): Promise<StaticEnvoy> {
  const bootstrapPath = join(directory, "bootstrap.json");
  const addressPath = join(directory, "admin-address");
  await writeFile(bootstrapPath, JSON.stringify(renderStaticBootstrap(ports)));
  const config: EnvoyConfig = {
    binaryPath: envoyBinary(),
    args: [
      ...["-c", bootstrapPath, "--admin-address-path", addressPath, "--drain-strategy", "immediate"],
      ...["--drain-time-s", "1", "--concurrency", "1", "-l", "error", "--disable-hot-restart"],
    ],
    // the leak guard knows a test's processes by this
    env: { TMPDIR: tmpdir() },
    user: undefined,
    admin: { host: "127.0.0.1", port: ports.admin },
    expects: bothExpected,
    drain: { ...plainDrain, ...drain },
    restarts: undefined,
    hotRestart: undefined,
  };
  const untilAdmin = async (): Promise<EnvoyAdmin> => {
    const [host, port] = await eventually(
      async () => {
        const address = /^(.+):(\d+)$/.exec(await readFile(addressPath, "utf8"));
        if (address === null) throw new Error("Envoy has not told its admin port yet");
        return [address[1] ?? "", address[2] ?? ""] as const;
      },
      { withinMs: 10_000 },
    );
    return createEnvoyAdmin({ host, port: Number(port) }, { clock: systemClock });
  };
  const untilLive = async (): Promise<EnvoyAdmin> => {
    const admin = await untilAdmin();
    await eventually(
      async () => {
        const text = await admin.stats("^listener_manager.workers_started");
        if (!text.includes("workers_started: 1")) throw new Error(`workers have not started: ${text}`);
      },
      { withinMs: 10_000 },
    );
    return admin;
  };
  return {
    config,
    untilAdmin,
    untilLive,
    async listenerPort() {
      const listeners = await (await untilAdmin()).request("GET", "/listeners");
      return Number(/:(\d+)\s*$/.exec(listeners)?.[1]);
    },
  };
}

const httpConnectionManager = {
  "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
  stat_prefix: "inbound",
  codec_type: "AUTO",
  route_config: {
    virtual_hosts: [
      {
        name: "any",
        domains: ["*"],
        routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: { inline_string: "ok" } } }],
      },
    ],
  },
  http_filters: [
    {
      name: "envoy.filters.http.router",
      typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    },
  ],
};

/** @param ports of the admin interface and of the one listener; 0 lets Envoy choose */
export function renderStaticBootstrap(ports: { readonly admin: number; readonly listener: number }): object {
  return {
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: ports.admin } } },
    overload_manager: {
      resource_monitors: [
        {
          name: "envoy.resource_monitors.global_downstream_max_connections",
          typed_config: {
            "@type":
              "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
            max_active_downstream_connections: 10_000,
          },
        },
      ],
    },
    static_resources: {
      listeners: [
        {
          name: "inbound",
          traffic_direction: "INBOUND",
          address: { socket_address: { address: "127.0.0.1", port_value: ports.listener } },
          filter_chains: [
            {
              filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: httpConnectionManager }],
            },
          ],
        },
      ],
    },
  };
}
