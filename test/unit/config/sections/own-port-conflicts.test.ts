// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { judgeConfig } from "../../../../src/config/index.ts";
import { testInput } from "../../../support/parity-case.ts";

function problemsOf(env: Readonly<Record<string, string>>): readonly string[] {
  const { problems } = judgeConfig(testInput({ env }));
  return problems
    .map(({ source, message }) => `${source}: ${message}`)
    .filter((text) => text.includes("already that of"));
}

test.each([
  [{ PROXY_CONFIG: '{"statusPort":15090}' }, ["ENVOY_PROMETHEUS_PORT: port 15090", "PROXY_CONFIG, field statusPort"]],
  [{ ENVOY_STATUS_PORT: "15000" }, ["ENVOY_STATUS_PORT: port 15000", "PROXY_CONFIG, field proxyAdminPort"]],
  [
    { ISTIO_META_DNS_CAPTURE: "true", DNS_PROXY_ADDR: "localhost:15020" },
    ["DNS_PROXY_ADDR: port 15020", "PROXY_CONFIG, field statusPort"],
  ],
])("a port that is configured twice is refused, with both settings: %j", (env, [port = "", other = ""]) => {
  expect(problemsOf(env)).toEqual([`${port} is already that of ${other}; give one of them another port`]);
});

test.each([
  {},
  { PROXY_CONFIG: '{"statusPort":15090}', DISABLE_ENVOY: "true" },
  { PROXY_CONFIG: '{"statusPort":0}', ENVOY_SECURE_METRICS_PORT: "0" },
  { DNS_PROXY_ADDR: "localhost:15020" },
])("other ports are not: %j", (env) => {
  expect(problemsOf(env)).toEqual([]);
});
