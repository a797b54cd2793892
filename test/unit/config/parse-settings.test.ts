// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { AgentConfig } from "../../../src/config/agent-config.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, type TestInput, testInput } from "../../support/parity-case.ts";

function parse({ env = {}, ...more }: TestInput): AgentConfig {
  return parseConfig(testInput({ ...more, env: { ...podEnv, ...env } }));
}

const warnings = (input: TestInput): readonly string[] =>
  parse(input).warnings.map(({ source, message }) => `${source}: ${message}`);

test("a CA on the plaintext port gets the token only by an explicit switch", () => {
  const env = { CA_ADDR: "istiod.istio-system.svc:15010" };
  const plain = parse({ env });
  expect(plain.ca).toMatchObject({ security: { kind: "plaintext" }, tokenPath: undefined });
  expect(warnings({ env }).join()).toMatch(/^CA_ADDR: .*without the token; .*ATTACHE_CA_PLAINTEXT=true/);
  const allowed = parse({ env: { ...env, ATTACHE_CA_PLAINTEXT: "true" } });
  expect(allowed.ca).toMatchObject({ tokenPath: "./var/run/secrets/tokens/istio-token" });
});

test("mounted certificates are shown to the control plane by the paths of the proxy's metadata", () => {
  const proxyMetadata = {
    ISTIO_META_TLS_CLIENT_CERT_CHAIN: "/m/chain.pem",
    ISTIO_META_TLS_CLIENT_KEY: "/m/key.pem",
    ISTIO_META_TLS_CLIENT_ROOT_CERT: "/m/root.pem",
  };
  const { xds } = parse({ env: { FILE_MOUNTED_CERTS: "true", PROXY_CONFIG: JSON.stringify({ proxyMetadata }) } });
  expect(xds).toMatchObject({
    proxy: { upstream: { security: { client: { chainPath: "/m/chain.pem", keyPath: "/m/key.pem" } } } },
  });
});

test("a made-up token is not sent: its setting is warned about", () => {
  const env = { CREDENTIAL_FETCHER_TYPE: "Mock" };
  expect(parse({ env }).ca).toMatchObject({ tokenPath: "./var/run/secrets/tokens/istio-token", cloudToken: undefined });
  expect(warnings({ env })).toEqual([expect.stringMatching(/^CREDENTIAL_FETCHER_TYPE: Mock is not supported/)]);
});

test("without Envoy the xDS socket and the key are the applications', unless modes are given", () => {
  const env = { DISABLE_ENVOY: "true", OUTPUT_CERTS: "/certs", KUBERNETES_SERVICE_HOST: "10.0.0.1" };
  const open = parse({ env });
  expect([open.xds, open.cert.output, open.sds]).toMatchObject([
    { proxy: { socketMode: 0o666 } },
    { keyMode: "for-readers" },
    { socketMode: 0o600 },
  ]);
  expect(open.warnings.map(({ source }) => source)).toEqual(["DISABLE_ENVOY"]);
  const closed = parse({ env: { ...env, ATTACHE_SDS_SOCKET_MODE: "0660", ATTACHE_OUTPUT_CERTS_KEY_MODE: "0640" } });
  expect([closed.xds, closed.cert.output]).toMatchObject([{ proxy: { socketMode: 0o660 } }, { keyMode: 0o640 }]);
  expect(closed.warnings).toEqual([]);
});

test("scopes of the log are known by the reference's names too", () => {
  const { log } = parse({ args: ["--log_output_level=cache:debug,citadelclient:error,xdsproxy:warn,nosuch:debug"] });
  expect(Object.fromEntries(log.levels)).toEqual({
    ...{ default: "info", grpc: "none" },
    ...{ cert: "debug", ca: "error", xdsproxy: "warn", nosuch: "debug" },
  });
});

test("the machine's own token is for CA and control plane, over TLS alone", () => {
  const env = { CREDENTIAL_FETCHER_TYPE: "GoogleComputeEngine", GCE_METADATA_HOST: "127.0.0.1:8080" };
  const cloudToken = { host: "127.0.0.1", port: 8080, audience: "cluster.local" };
  const { ca, xds } = parse({ env });
  expect(ca).toMatchObject({ cloudToken });
  expect(xds).toMatchObject({ cloudToken, proxy: { upstream: { tokenPath: undefined } } });
  const plain = parse({ env: { ...env, PROXY_CONFIG: '{"controlPlaneAuthPolicy":"NONE"}' } });
  expect(plain.xds).toMatchObject({ cloudToken: undefined, proxy: { upstream: { tokenPath: undefined } } });
});

test("a static label that is no text is no label", () => {
  const { node } = parse({ env: { ISTIO_METAJSON_LABELS: '{"app":1,"version":"v1"}' } });
  expect(node.metadata["LABELS"]).toEqual({ version: "v1" });
  expect(node.cluster).toBe("istio-proxy.shop");
});

test("parts of Google's facts that are not known are left out", () => {
  const { node } = parse({ env: { CLOUD_PLATFORM: "gcp", GCP_METADATA: "p|1||europe-west1" } });
  const facts = { gcp_project: "p", gcp_project_number: "1", gcp_location: "europe-west1" };
  expect(node.metadata["PLATFORM_METADATA"]).toEqual(facts);
});

test.each(["0", "-5", "x"])("a limit of %s downstream connections is reported and ignored", (limit) => {
  const proxyMetadata = { ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS: limit };
  const { bootstrap, warnings: found } = parse({ env: { PROXY_CONFIG: JSON.stringify({ proxyMetadata }) } });
  expect(bootstrap).toMatchObject({ config: { downstreamConnectionLimit: 2_147_483_647 } });
  expect(found.map(({ message }) => message)).toEqual([expect.stringContaining("is not a number above 0")]);
});
