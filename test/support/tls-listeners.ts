// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { renderPrivateKey } from "../../src/cert/csr.ts";
import type { FakeResource } from "../fakes/fake-control-plane.ts";
import { encodeEnvoy } from "./envoy-api.ts";
import { newKey, publicKeyOf, type TestAuthority } from "./test-authority.ts";

/** A listener of Envoy that demands a client certificate and answers 200. */
export interface TlsListener {
  readonly name: string;
  readonly port: number;
  /** The name of its own certificate over SDS; `default` when not given. */
  readonly certificate?: string;
  /** The name of the context by which it verifies its clients. */
  readonly roots: string;
  /** Verifies their SPIFFE IDs too: the context is combined with this one, as Istio's listeners have it. */
  readonly prefixes?: readonly string[];
}

const type = (name: string): string => `type.googleapis.com/envoy.${name}`;

/** Writes the listeners as Envoy's resources of a pod that reads files. */
export function writeListeners(directory: string, listeners: readonly TlsListener[]): void {
  const resources = listeners.map((listener) => renderListener(listener, true));
  writeFileSync(join(directory, "resources/lds.yaml"), JSON.stringify({ version_info: "1", resources }));
}

/** The listener as a control plane's resource. */
export function listenerOverAds(listener: TlsListener): FakeResource {
  const value = encodeEnvoy("envoy.config.listener.v3.Listener", renderListener(listener, { value: true }));
  return { name: listener.name, version: "1", value };
}

/**
 * The listener as `envoy.config.listener.v3.Listener` in JSON, with its type.
 * @param demand true, in the form that the reader wants
 */
function renderListener(
  { name, port, certificate = "default", roots, prefixes }: TlsListener,
  demand: true | { readonly value: true },
): object {
  const context = secret(roots);
  const match = prefixes?.map((prefix) => ({ san_type: "URI", matcher: { prefix } }));
  return {
    "@type": type("config.listener.v3.Listener"),
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: port } },
    filter_chains: [
      {
        filters: [answering(name)],
        transport_socket: {
          name: "envoy.transport_sockets.tls",
          typed_config: {
            "@type": type("extensions.transport_sockets.tls.v3.DownstreamTlsContext"),
            require_client_certificate: demand,
            common_tls_context: {
              tls_certificate_sds_secret_configs: [secret(certificate)],
              ...(match === undefined
                ? { validation_context_sds_secret_config: context }
                : {
                    combined_validation_context: {
                      default_validation_context: { match_typed_subject_alt_names: match },
                      validation_context_sds_secret_config: context,
                    },
                  }),
            },
          },
        },
      },
    ],
  };
}

function secret(name: string): object {
  return {
    name,
    sds_config: {
      resource_api_version: "V3",
      api_config_source: {
        api_type: "GRPC",
        transport_api_version: "V3",
        grpc_services: [{ envoy_grpc: { cluster_name: "sds-grpc" } }],
      },
    },
  };
}

function answering(name: string): object {
  return {
    name: "envoy.filters.network.http_connection_manager",
    typed_config: {
      "@type": type("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
      stat_prefix: name,
      route_config: {
        virtual_hosts: [
          { name, domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }] },
        ],
      },
      http_filters: [
        {
          name: "envoy.filters.http.router",
          typed_config: { "@type": type("extensions.filters.http.router.v3.Router") },
        },
      ],
    },
  };
}

/** What a client presents. */
export interface ClientPair {
  readonly chainPem: string;
  readonly keyPem: string;
}

/** A certificate for this SPIFFE ID, signed by this authority. */
export function pairFor(authority: TestAuthority, spiffeId: string): ClientPair {
  const key = newKey();
  const chainPem = authority.issue({ publicKey: publicKeyOf(key), uris: [spiffeId] }, Date.now());
  return { chainPem, keyPem: renderPrivateKey(key, true) };
}

/** One request with this certificate, on a connection of its own: "let in", or "rejected" in the handshake. */
export function knock(port: number, { chainPem, keyPem }: ClientPair): Promise<"let in" | "rejected"> {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, agent: false, rejectUnauthorized: false, cert: chainPem, key: keyPem };
    const call = request(options, (response) => {
      response.resume();
      response.on("end", () => {
        resolve("let in");
      });
    });
    call.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") reject(error);
      else resolve("rejected");
    });
    call.end();
  });
}
