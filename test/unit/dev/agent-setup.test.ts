// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderAgentEnv } from "../../../src/dev/agent-setup.ts";

const ports = { app: 1, envoy: 2, admin: 3, status: 4, readiness: 5, metrics: 6 };
const options = {
  workload: "web",
  ports,
  caPort: 7,
  envoyPath: "/opt/envoy",
  resources: { kind: "ads", port: 8 },
} as const;

test("an agent gets its identity, its CA and its own ports", () => {
  const env = renderAgentEnv({ ...options, env: {} });
  expect(env).toMatchObject({
    CA_ADDR: "localhost:7",
    POD_NAMESPACE: "demo",
    SERVICE_ACCOUNT: "web",
    TRUST_DOMAIN: "cluster.local",
    ENVOY_STATUS_PORT: "5",
    ENVOY_PROMETHEUS_PORT: "6",
    ATTACHE_XDS_CACHE: "xds-cache",
  });
  expect(env).not.toHaveProperty("ATTACHE_XDS_FILES");
  expect(JSON.parse(env["PROXY_CONFIG"] ?? "")).toMatchObject({
    binaryPath: "/opt/envoy",
    proxyAdminPort: 3,
    statusPort: 4,
    discoveryAddress: "127.0.0.1:8",
    controlPlaneAuthPolicy: "NONE",
  });
});

test("with files, Envoy reads them and there is no control plane", () => {
  const env = renderAgentEnv({ ...options, resources: { kind: "files", directory: "/w/envoy" }, env: {} });
  expect(env).toMatchObject({ ATTACHE_XDS_FILES: "/w/envoy" });
  expect(env).not.toHaveProperty("ATTACHE_XDS_CACHE");
  expect(env["PROXY_CONFIG"]).not.toContain("NONE");
});

test("of the caller's environment only what every program needs reaches the agents", () => {
  const env = renderAgentEnv({ ...options, env: { PATH: "/bin", HOME: "/root", ISTIO_META_X: "y", AWS_SECRET: "s" } });
  expect(env).toMatchObject({ PATH: "/bin", HOME: "/root" });
  expect(Object.keys(env)).not.toEqual(expect.arrayContaining(["ISTIO_META_X"]));
  expect(Object.values(env)).not.toContain("s");
});
