// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, type TestInput, testInput } from "../../support/parity-case.ts";

function warnings({ env = {}, ...more }: TestInput): readonly string[] {
  const { warnings: found } = parseConfig(testInput({ ...more, env: { ...podEnv, ...env } }));
  return found.map(({ source, message }) => `${source}: ${message}`);
}

const tracing = (address: string): string => JSON.stringify({ tracing: { zipkin: { address } } });

test("24: $(HOST_IP) without HOST_IP is a warning that names it, where it is used and what follows", () => {
  const PROXY_CONFIG = tracing("$(HOST_IP):9411");
  expect(warnings({ env: { PROXY_CONFIG } })).toEqual([
    'HOST_IP: is not set, so "$(HOST_IP):9411" stays as it is, and Envoy cannot connect to it; set it in the container, from status.hostIP',
  ]);
  expect(warnings({ env: { PROXY_CONFIG, HOST_IP: "10.0.0.9" } })).toEqual([]);
  expect(warnings({ env: { PROXY_CONFIG, HOST_IP: "fd00::9" } })).toEqual([]);
  const files = new Map([["override.json", '{"node":{"cluster":"$(HOST_IP)"}}']]);
  expect(warnings({ files, env: { ISTIO_BOOTSTRAP_OVERRIDE: "override.json" } })).toEqual([
    "HOST_IP: is not set, so $(HOST_IP) in override.json becomes empty; set it in the container, from status.hostIP",
  ]);
});

test("24: a value that Kubernetes did not expand is a warning, and one that it never sees is none", () => {
  expect(warnings({ env: { ISTIO_META_CLUSTER_ID: "$(CLUSTER)", OTHER: "$(X)" } })).toEqual([
    "ISTIO_META_CLUSTER_ID: $(CLUSTER) was not expanded: define CLUSTER in the container before ISTIO_META_CLUSTER_ID",
  ]);
});

test("24: a node without an address is a warning", () => {
  const lo = { name: "lo", loopback: true, addresses: ["127.0.0.1", "::1"] };
  const found = warnings({ env: { INSTANCE_IP: "" }, system: { interfaces: [lo] } });
  expect(found.join("\n")).toMatch(/^INSTANCE_IP: is not set, and no network interface has an address/m);
  expect(warnings({ system: { interfaces: [lo] } })).toEqual([]);
});

test("24: with DISABLE_ENVOY no warning is about Envoy", () => {
  const env = { PROXY_CONFIG: tracing("$(HOST_IP):9411"), ISTIO_CPU_LIMIT: "" };
  const system = { cpuCount: 4 };
  expect(warnings({ env, system }).join("\n")).toMatch(/Envoy/);
  expect(warnings({ env: { ...env, DISABLE_ENVOY: "true" }, system }).join("\n")).not.toMatch(/\bEnvoy\b/);
});

test("24: a metrics annotation that cannot be read costs the metrics, not the pod", () => {
  const config = parseConfig(testInput({ env: { ...podEnv, ISTIO_PROMETHEUS_ANNOTATIONS: '{"port":"15090"}' } }));
  expect(config.status.scrape.targets).toEqual([]);
  expect(config.warnings.map(({ message }) => message).join("\n")).toMatch(/^port 15090 is reserved for Envoy metrics/);
});
