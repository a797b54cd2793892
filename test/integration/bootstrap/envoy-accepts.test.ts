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

test("a real Envoy accepts an OpenTelemetry tracer with mutual TLS of the mesh", async () => {
  const tracing = { openTelemetry: { address: "otel.example:4317" }, tlsSettings: { mode: "ISTIO_MUTUAL" } };
  const config = parseConfig(testInput({ env: { ...podEnv, PROXY_CONFIG: JSON.stringify({ tracing }) } }));
  expect(await envoyProblem(config)).toBe("");
});
