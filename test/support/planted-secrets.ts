// SPDX-License-Identifier: Apache-2.0
import type { Canaries } from "./canaries.ts";
import type { IssuedPem } from "./openssl-pki.ts";

const types = "type.googleapis.com/envoy.";
const inline = (text: string): object => ({ inline_string: text });

/** A token with a canary in each of its parts. */
export function plantedToken(canaries: Canaries, place: string): string {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = encode({
    aud: ["istio-ca"],
    sub: "system:serviceaccount:demo:web",
    jti: canaries.plant(`${place}, claim`),
  });
  const signature = Buffer.from(canaries.plant(`${place}, signature`)).toString("base64url");
  return canaries.add(place, `${encode({ alg: "RS256", typ: "JWT" })}.${claims}.${signature}`);
}

/** Variables of the agent and of others. */
export function plantedEnvironment(canaries: Canaries): Readonly<Record<string, string>> {
  const plant = (place: string): string => canaries.plant(`variable ${place}`);
  return {
    DB_PASSWORD: plant("DB_PASSWORD"),
    AWS_SECRET_ACCESS_KEY: plant("AWS_SECRET_ACCESS_KEY"),
    NOTE_FOR_NOBODY: plant("of another program"),
    HTTPS_PROXY: `http://proxy-user:${plant("HTTPS_PROXY")}@proxy.example:3128`,
    REDIS_URL: `redis://:${plant("REDIS_URL")}/with/slash@redis.example:6379/0`,
    ISTIO_META_API_TOKEN: plant("ISTIO_META_API_TOKEN"),
    ISTIO_META_NOTE: plant("ISTIO_META_NOTE"),
    ISTIO_METAJSON_SETTINGS: JSON.stringify({ nested: { deep: [{ password: plant("ISTIO_METAJSON") }] } }),
    "XDS_HEADER_x-auth": plant("XDS_HEADER_"),
    CA_HEADER_authorization: `Bearer ${plant("CA_HEADER_")}`,
    ISTIO_KUBE_APP_PROBERS: JSON.stringify({
      "/app-health/web/livez": {
        httpGet: {
          path: `/live?token=${plant("probe, query")}`,
          port: 8080,
          httpHeaders: [{ name: "X-Probe-Auth", value: plant("probe, header") }],
        },
      },
    }),
  };
}

/** Fields of ProxyConfig. */
export function plantedProxyConfig(canaries: Canaries): Readonly<Record<string, unknown>> {
  const plant = (place: string): string => canaries.plant(`ProxyConfig ${place}`);
  return {
    proxyMetadata: {
      VENDOR_API_KEY: plant("proxyMetadata, by name"),
      VENDOR_SETTING: plant("proxyMetadata, any"),
      ISTIO_META_VENDOR: plant("proxyMetadata, ISTIO_META_"),
    },
  };
}

/** Merged over the bootstrap. */
export function plantedOverride(canaries: Canaries, identity: IssuedPem): object {
  const plant = (place: string): string => canaries.plant(`bootstrap ${place}`);
  const tls = {
    certificate_chain: inline(identity.chainPem),
    private_key: inline(canaries.addKey("bootstrap, private key", identity.keyPem)),
  };
  return {
    stats_config: { stats_tags: [{ tag_name: "vendor_api_key", fixed_value: plant("stats tag") }] },
    static_resources: {
      secrets: [
        { name: "client", generic_secret: { secret: inline(plant("generic secret")) } },
        { name: "tickets", session_ticket_keys: { keys: [inline(`${plant("session ticket key")}${"k".repeat(53)}`)] } },
        { name: "pair", tls_certificate: tls },
      ],
      clusters: [
        {
          name: "with-key",
          type: "STATIC",
          transport_socket: {
            name: "tls",
            typed_config: {
              "@type": `${types}extensions.transport_sockets.tls.v3.UpstreamTlsContext`,
              common_tls_context: { tls_certificates: [tls] },
            },
          },
          metadata: { filter_metadata: { vendor: { clientSecret: plant("metadata of a cluster"), pin: 92_837_465 } } },
        },
      ],
    },
  };
}

/** A listener with secrets wherever its filters take text. */
export function plantedListener(canaries: Canaries, socketPath: string): object {
  const plant = (place: string): string => canaries.plant(`listener ${place}`);
  const oct = Buffer.from(plant("key of a key set")).toString("base64url");
  const typed = (type: string, config: object): object => ({ typed_config: { "@type": `${types}${type}`, ...config } });
  const bytes = Buffer.from(`opaque ${plant("inline bytes")}`).toString("base64");
  return {
    "@type": `${types}config.listener.v3.Listener`,
    name: "canaries",
    address: { pipe: { path: socketPath } },
    filter_chains: [
      {
        filters: [
          {
            name: "http",
            ...typed("extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
              stat_prefix: "canaries",
              access_log: [
                {
                  name: "stdout",
                  ...typed("extensions.access_loggers.stream.v3.StdoutAccessLog", {
                    log_format: {
                      text_format_source: inline(
                        `%START_TIME% password=${plant("access log, text")} %RESPONSE_CODE%\n`,
                      ),
                    },
                  }),
                },
                {
                  name: "json",
                  ...typed("extensions.access_loggers.stream.v3.StdoutAccessLog", {
                    log_format: { json_format: { api_key: plant("access log, JSON"), code: "%RESPONSE_CODE%" } },
                  }),
                },
              ],
              route_config: {
                request_headers_to_add: [
                  { header: { key: "authorization", value: `Bearer ${plant("header authorization")}` } },
                  { header: { key: "x-vendor", value: plant("header of a vendor") } },
                ],
                virtual_hosts: [
                  {
                    name: "any",
                    domains: ["*"],
                    routes: [
                      {
                        match: {
                          prefix: "/a",
                          headers: [
                            { name: "x-api-key", string_match: { exact: plant("header match") } },
                            { name: "cookie", string_match: { contains: `session=${plant("cookie match")}` } },
                          ],
                          query_parameters: [{ name: "access_token", string_match: { exact: plant("query match") } }],
                        },
                        redirect: { path_redirect: `/login?token=${plant("redirect")}` },
                      },
                      {
                        match: { prefix: "/b" },
                        direct_response: { status: 200, body: { inline_bytes: bytes } },
                        metadata: {
                          filter_metadata: { vendor: { url: `https://u:${plant("URL in metadata")}@db.example/x` } },
                        },
                      },
                      {
                        match: { prefix: "/" },
                        direct_response: { status: 200, body: inline(`hello ${plant("body")}`) },
                      },
                    ],
                  },
                ],
              },
              http_filters: [
                {
                  name: "jwt",
                  ...typed("extensions.filters.http.jwt_authn.v3.JwtAuthentication", {
                    providers: {
                      one: {
                        issuer: "i",
                        local_jwks: inline(JSON.stringify({ keys: [{ kty: "oct", alg: "HS256", kid: "1", k: oct }] })),
                      },
                    },
                  }),
                },
                {
                  name: "lua",
                  ...typed("extensions.filters.http.lua.v3.Lua", {
                    default_source_code: inline(`-- ${plant("script")}\nfunction envoy_on_request(handle) end\n`),
                  }),
                },
                {
                  name: "authz",
                  ...typed("extensions.filters.http.ext_authz.v3.ExtAuthz", {
                    grpc_service: {
                      envoy_grpc: { cluster_name: "with-key" },
                      initial_metadata: [{ key: "x-tenant", value: plant("initial metadata") }],
                    },
                  }),
                },
                { name: "router", ...typed("extensions.filters.http.router.v3.Router", {}) },
              ],
            }),
          },
        ],
      },
    ],
  };
}

/** Lines as programs write them that do not mind secrets. */
export function plantedLog(
  canaries: Canaries,
  known: { readonly password: string; readonly keyPem: string; readonly token: string },
): string {
  const plant = (place: string): string => canaries.plant(`log ${place}`);
  const { password, keyPem, token } = known;
  canaries.addKey("log, private key", keyPem);
  return [
    '2026-12-01T10:00:00.000000Z\tinfo\tca\tcertificate signed serial="01"',
    keyPem.trimEnd(),
    `{"level":"info","key":${JSON.stringify(keyPem)}}`,
    `{"outer":${JSON.stringify(JSON.stringify({ keyPem, password: plant("JSON in JSON") }))}}`,
    `as base64: ${Buffer.from(keyPem).toString("base64")}`,
    `sent Authorization: Bearer ${plant("Bearer")} to vault`,
    `basic ${Buffer.from(`user:${plant("basic")}`).toString("base64")}`,
    `GET /login?user=a&access_token=${plant("query")}&x=1`,
    `export VENDOR_SECRET="${plant("shell")}"`,
    `connect postgres://app:${plant("URL")}@db:5432/app failed`,
    `dial app:${plant("URL without scheme")}@db:5432`,
    `run tool --password ${plant("argument")} --verbose`,
    `<password>${plant("XML")}</password>`,
    `vault token: ${plant("token:")}`,
    `password:\n  ${plant("YAML, next line")}`,
    `- name: SMTP_PASSWORD\n  value: ${plant("YAML, name and value")}`,
    `config ${Buffer.from(JSON.stringify({ user: "a", password: plant("JSON in base64") })).toString("base64")}`,
    `a known one ${password}, in base64 ${Buffer.from(`x${password}`).toString("base64")}, in hex ${Buffer.from(password).toString("hex")}`,
    `a token ${token}, cut ${token.slice(5)}, in base64 ${Buffer.from(token).toString("base64")}`,
    "last line of the log",
    "",
  ].join("\n");
}
