// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { adviceOnMissingExtensions } from "../../../src/model/missing-extensions.ts";

const lacks = (name: string, type: string): string =>
  `Didn't find a registered implementation for '${name}' with type URL: '${type}'`;

test("the extensions that Envoy lacks are named once each, with what istiod can leave out", () => {
  const reason = [
    `Error adding/updating listener(s) virtualInbound: ${lacks("istio.stats", "stats.PluginConfig")}`,
    `virtualOutbound: ${lacks("istio.metadata_exchange", "io.istio.http.peer_metadata.Config")}`,
    `0.0.0.0_80: ${lacks("istio.stats", "stats.PluginConfig")}`,
  ].join("\n");
  expect(adviceOnMissingExtensions(reason)).toBe(
    "this Envoy lacks istio.stats, istio.metadata_exchange: use Istio's Envoy (the proxyv2 image's), or set at istiod: " +
      "PILOT_ENABLE_METADATA_EXCHANGE=false, no metrics provider (meshConfig.defaultProviders, Telemetry)",
  );
});

test("an extension that is not Istio's has one cure, and another error none", () => {
  expect(adviceOnMissingExtensions(lacks("acme.filter", "acme.Config"))).toBe(
    "this Envoy lacks acme.filter: use Istio's Envoy (the proxyv2 image's)",
  );
  expect(adviceOnMissingExtensions(lacks("", "acme.Config"))).toContain("lacks acme.Config");
  expect(adviceOnMissingExtensions("duplicate listener a")).toBeUndefined();
});

test("a long error takes time in proportion to its length", () => {
  const reason = "Didn't find a registered implementation for '".repeat(20_000);
  expect(adviceOnMissingExtensions(reason)?.length).toBeLessThan(200);
});
