// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { preflightBootstrap } from "../../../src/bootstrap/index.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";

async function findings(override: unknown): Promise<readonly string[]> {
  const env = { ...podEnv, ISTIO_BOOTSTRAP_OVERRIDE: "override.json" };
  const config = parseConfig(testInput({ env, files: new Map([["override.json", JSON.stringify(override)]]) }));
  return (await preflightBootstrap(config)).map(({ document, path, message }) => `${document} ${path}: ${message}`);
}

test("what of an override Envoy would reject is reported by field", async () => {
  const override = { admin: { adress: {} }, static_resources: { clusters: [{ name: 5, connect_timeout: "soon" }] } };
  expect(await findings(override)).toEqual([
    "override admin.adress: unknown field (did you mean address?)",
    "override static_resources.clusters[0].name: must be a string, not 5",
    expect.stringMatching(/^override static_resources\.clusters\[0\]\.connect_timeout: must be a duration in seconds/),
  ]);
});

test("an override that fits is not mentioned, nor is the document of the agent", async () => {
  expect(await findings({ stats_flush_interval: "10s" })).toEqual([]);
});
