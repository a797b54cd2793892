// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { AgentConfig } from "../../../src/config/agent-config.ts";
import { ConfigError, parseConfig } from "../../../src/config/index.ts";
import { envoyProblem } from "../../support/envoy-validate.ts";
import { inputOf, podEnv, readProxyCases, testInput } from "../../support/parity-case.ts";

describe("a real Envoy accepts the bootstrap and the command line of", () => {
  for (const parityCase of readProxyCases()) {
    let config: AgentConfig | undefined;
    try {
      config = parseConfig(inputOf(parityCase));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      continue;
    }
    const valid = config;
    test.concurrent(parityCase.name, async () => {
      expect(await envoyProblem(valid)).toBe("");
    });
  }
});

test.each(["SIMPLE", "MUTUAL"])(
  "a real Envoy accepts TLS of mode %s without roots, which is warned about",
  async (mode) => {
    const tlsSettings = { mode, clientCertificate: "/chain.pem", privateKey: "/key.pem" };
    const service = { address: "a.example:443", tlsSettings };
    const proxyConfig = {
      envoyMetricsService: service,
      tracing: { zipkin: { address: "z.example:443" }, tlsSettings },
    };
    const config = parseConfig(testInput({ env: { ...podEnv, PROXY_CONFIG: JSON.stringify(proxyConfig) } }));
    expect(config.warnings.map(({ source, message }) => `${source}: ${message}`)).toEqual(
      ["tracing", "envoyMetricsService"].map(
        (field) => expect.stringMatching(new RegExp(`^PROXY_CONFIG, field ${field}: .* does not verify`)) as unknown,
      ),
    );
    expect(await envoyProblem(config)).toBe("");
  },
);

test("a real Envoy accepts an OpenTelemetry tracer with mutual TLS of the mesh", async () => {
  const tracing = { openTelemetry: { address: "otel.example:4317" }, tlsSettings: { mode: "ISTIO_MUTUAL" } };
  const config = parseConfig(testInput({ env: { ...podEnv, PROXY_CONFIG: JSON.stringify({ tracing }) } }));
  expect(await envoyProblem(config)).toBe("");
});
