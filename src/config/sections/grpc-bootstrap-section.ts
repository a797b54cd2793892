// SPDX-License-Identifier: Apache-2.0
import { normalize } from "node:path";
import type { JsonObject } from "../../lib/json.ts";
import type { DiscoverySource, GrpcBootstrapConfig } from "../agent-config.ts";
import type { Sources } from "../sources/sources.ts";

/**
 * The bootstrap of gRPC applications that use xDS through the agent's socket; undefined: none. Those who may connect to
 * that socket may read it: with `DISABLE_ENVOY` everyone, since the application runs as another user.
 * Source: the file that Istio's agent writes; gRPC's xDS bootstrap format (gRFC A27, A29)
 */
export function grpcBootstrap({ env, proxy, node }: Sources, xds: DiscoverySource): GrpcBootstrapConfig | undefined {
  const path = env.string("GRPC_XDS_BOOTSTRAP");
  if (path === "") return undefined;
  const { region, zone, subZone } = node.locality;
  const locality = Object.entries({ region, zone, sub_zone: subZone }).filter(([, text]) => text !== "");
  const document: JsonObject = {
    xds_servers: [
      {
        // Absolute, as in Istio: the application has another working directory than the agent.
        server_uri: `unix:///${normalize(`${proxy.configPath}/XDS`).replace(/^\//, "")}`,
        channel_creds: [{ type: "insecure" }],
        server_features: ["xds_v3"],
      },
    ],
    node: {
      id: node.id,
      metadata: { ...node.typedMetadata, GENERATOR: "grpc" },
      locality: Object.fromEntries(locality),
    },
    ...certificateProviders(env.string("OUTPUT_CERTS")),
    server_listener_resource_name_template: "xds.istio.io/grpc/lds/inbound/%s",
  };
  const mode = xds.kind === "ads" ? 0o600 | (xds.proxy.socketMode & 0o044) : 0o600;
  return { path, mode, document };
}

function certificateProviders(directory: string): JsonObject {
  if (directory === "") return {};
  const file = (name: string): string => normalize(`${directory}/${name}`);
  const config = {
    certificate_file: file("cert-chain.pem"),
    private_key_file: file("key.pem"),
    ca_certificate_file: file("root-cert.pem"),
    refresh_interval: "900s",
  };
  return { certificate_providers: { default: { plugin_name: "file_watcher", config } } };
}
