// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { envoyBinary } from "./envoy-binary.ts";
import { eventually } from "./eventually.ts";

export interface AdsEnvoy extends AsyncDisposable {
  readonly adminPort: number;
  admin(path: string): Promise<string>;
  /** A statistic's number. @throws when there is none of the name */
  stat(name: string): Promise<number>;
}

export interface AdsEnvoyOptions {
  /** Where its files are. */
  readonly directory: string;
  /** Unix socket of the proxy, or port of a control plane on loopback. */
  readonly source: { readonly socketPath: string } | { readonly port: number };
  readonly delta: boolean;
  /** Words before Envoy, which run it. */
  readonly launcher?: readonly string[] | undefined;
}

/** A real Envoy that takes everything over ADS. */
export async function startAdsEnvoy(options: AdsEnvoyOptions): Promise<AdsEnvoy> {
  const bootstrapPath = join(options.directory, "envoy.json");
  const addressPath = join(options.directory, "admin-address");
  await writeFile(bootstrapPath, JSON.stringify(renderAdsBootstrap(options)));
  const args = ["-c", bootstrapPath, "--admin-address-path", addressPath, "--concurrency", "1", "-l", "error"];
  const [program, ...words] = [...(options.launcher ?? []), envoyBinary(), ...args, "--disable-hot-restart"];
  const child = execa(program, words, {
    env: { TMPDIR: tmpdir() },
    extendEnv: false,
    reject: false,
    stdio: "ignore",
  });
  const adminPort = await eventually(
    async () => {
      const port = /:(\d+)$/.exec(await readFile(addressPath, "utf8"))?.[1];
      if (port === undefined) throw new Error("no admin address yet");
      return Number(port);
    },
    { withinMs: options.launcher === undefined ? 10_000 : 60_000 },
  );
  const admin = async (path: string): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${String(adminPort)}${path}`, { headers: { connection: "close" } });
    return answer.text();
  };
  return {
    adminPort,
    admin,
    async stat(name) {
      const value = /: (\d+)/.exec(await admin(`/stats?filter=^${name}$`))?.[1];
      if (value === undefined) throw new Error(`Envoy has no statistic ${name}`);
      return Number(value);
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child;
    },
  };
}

function renderAdsBootstrap({ source, delta }: AdsEnvoyOptions): object {
  const address =
    "port" in source
      ? { socket_address: { address: "127.0.0.1", port_value: source.port } }
      : { pipe: { path: source.socketPath } };
  const ads = { ads: {}, resource_api_version: "V3", initial_fetch_timeout: "0s" };
  return {
    node: { id: "sidecar~10.0.0.1~a.b~b.svc", cluster: "a.b" },
    admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
    dynamic_resources: {
      lds_config: ads,
      cds_config: ads,
      ads_config: {
        api_type: delta ? "DELTA_GRPC" : "GRPC",
        transport_api_version: "V3",
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: "xds-grpc" } }],
      },
    },
    static_resources: {
      clusters: [
        {
          name: "xds-grpc",
          type: "STATIC",
          connect_timeout: "1s",
          typed_extension_protocol_options: {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
              "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: "xds-grpc",
            endpoints: [{ lb_endpoints: [{ endpoint: { address } }] }],
          },
        },
      ],
    },
  };
}
