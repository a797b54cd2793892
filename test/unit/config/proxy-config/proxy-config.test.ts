// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { Findings } from "../../../../src/config/config-error.ts";
import type { JsonValue } from "../../../../src/lib/json.ts";
import { mergeProxyConfig } from "../../../../src/config/proxy-config/effective-proxy-config.ts";
import { protoDurationMs, renderProxyConfig } from "../../../../src/config/proxy-config/proxy-config.ts";

function merge(...values: readonly (JsonValue | undefined)[]) {
  const findings = new Findings();
  const merged = mergeProxyConfig(
    values.map((value, index) => ({ source: `layer ${String(index)}`, value })),
    findings,
  );
  return { ...merged, findings };
}

test("a field replaces the lower one as a whole", () => {
  const { fields } = merge(
    { tracing: { zipkin: { address: "z:1" } }, runtimeValues: { a: "1" } },
    { tracing: { sampling: 22 }, runtimeValues: { b: "2" } },
  );
  expect(fields).toMatchObject({ tracing: { sampling: 22 }, runtimeValues: { b: "2" } });
});

test("proxyMetadata is merged by key, and proxyHeaders keep what the upper layer leaves out", () => {
  const { fields } = merge(
    { proxyMetadata: { A: "low", B: "low" }, proxyHeaders: { requestId: { disabled: true }, server: { value: "x" } } },
    { proxyMetadata: { B: "high" }, proxyHeaders: { server: { disabled: true } } },
  );
  expect(fields).toMatchObject({
    proxyMetadata: { A: "low", B: "high" },
    proxyHeaders: { requestId: { disabled: true }, server: { disabled: true } },
  });
});

test("of proxyHeaders only five parts are kept from below; the others go with the message", () => {
  const { fields } = merge(
    {
      proxyHeaders: {
        forwardedClientCert: "SANITIZE",
        attemptCount: { disabled: true },
        envoyDebugHeaders: { disabled: true },
        setCurrentClientCertDetails: { subject: true },
        preserveHttp1HeaderCase: true,
      },
    },
    { proxyHeaders: { attemptCount: { disabled: false } } },
  );
  expect(fields["proxyHeaders"]).toEqual({
    forwardedClientCert: "SANITIZE",
    attemptCount: { disabled: false },
    envoyDebugHeaders: { disabled: true },
  });
});

test("each field knows the layer that it comes from", () => {
  const { origins } = merge({ concurrency: 1 }, { concurrency: 2 }, { statusPort: 1 });
  expect([origins.get("concurrency"), origins.get("statusPort"), origins.get("binaryPath")]).toEqual([
    "layer 1",
    "layer 2",
    "default",
  ]);
});

test("null is not given, snake case is camel case, integers may be quoted, enums may be numbers", () => {
  const { fields, findings } = merge({ concurrency: null, status_port: "15022", controlPlaneAuthPolicy: 0 });
  expect(fields).toMatchObject({ statusPort: 15022, controlPlaneAuthPolicy: "NONE" });
  expect(fields).not.toHaveProperty("concurrency");
  expect(findings.warnings).toEqual([]);
});

describe("durations come out in seconds", () => {
  test.each([
    ["1m", "60s"],
    ["2500ms", "2.500s"],
    ["1h30m", "5400s"],
    ["0.25s", "0.250s"],
    ["1ns", "0.000000001s"],
    ["-1.5s", "-1.500s"],
  ])("%s", (given, expected) => {
    expect(merge({ drainDuration: given }).fields["drainDuration"]).toBe(expected);
    expect(protoDurationMs(expected)).toBeCloseTo(protoDurationMs(expected));
  });
});

test("an unknown field is reported with the nearest name, in messages too", () => {
  const { findings } = merge({ proxyStatsMatcher: { inclusionPrefix: [] } });
  expect(findings.warnings).toEqual([
    {
      source: "layer 0, field proxyStatsMatcher.inclusionPrefix",
      message: "unknown field inclusionPrefix is ignored (did you mean inclusionPrefixes?)",
    },
  ]);
});

test.each([
  [{ proxyMetadata: { X: 5 } }, "layer 0, field proxyMetadata.X: must be a string, not the number 5"],
  [
    { drainDuration: "soon" },
    'layer 0, field drainDuration: must be a duration such as 45s or 1m30s, not the text "soon"',
  ],
  [{ extraStatTags: "a" }, 'layer 0, field extraStatTags: must be a list, not the text "a"'],
  [{ tracing: [] }, "layer 0, field tracing: must be an object, not a list"],
  [{ concurrency: 1.5 }, "layer 0, field concurrency: must be a whole number of 32 bits, not the number 1.5"],
  ["text", 'layer 0: must be an object, not the text "text"'],
])("a value of the wrong shape is a problem with its place: %j", (value, expected) => {
  const { findings } = merge(value);
  expect(() => {
    findings.assertValid();
  }).toThrow(`configuration: ${expected}`);
});

describe("what the control plane sees", () => {
  test("fields that hold nothing are left out, members of a choice are not", () => {
    const shown = renderProxyConfig(
      merge({
        serviceCluster: "",
        statNameLength: 0,
        controlPlaneAuthPolicy: "NONE",
        extraStatTags: [],
        statsCompression: false,
      }).fields,
    );
    expect(shown).toMatchObject({ serviceCluster: "", statsCompression: false });
    for (const name of ["statNameLength", "controlPlaneAuthPolicy", "extraStatTags"])
      expect(shown).not.toHaveProperty(name);
  });

  test("the tracer's token is not shown", () => {
    const shown = renderProxyConfig(
      merge({ tracing: { lightstep: { address: "l:1", accessToken: "secret" } } }).fields,
    );
    expect(JSON.stringify(shown)).not.toContain("secret");
    expect(shown).toMatchObject({ tracing: { lightstep: { address: "l:1" } } });
  });
});

test("of fields that exclude each other the later one of the API counts, with a warning", () => {
  const tracing = { datadog: { address: "d:1" }, zipkin: { address: "z:1" }, sampling: 5 };
  const { fields, findings } = merge({ tracingServiceName: 1, serviceCluster: "a", tracing });
  expect(fields).toMatchObject({ tracingServiceName: "CANONICAL_NAME_ONLY" });
  expect(fields).not.toHaveProperty("serviceCluster");
  expect(fields["tracing"]).toEqual({ datadog: { address: "d:1" }, sampling: 5 });
  expect(findings.warnings).toEqual([
    {
      source: "layer 0",
      message: "serviceCluster and tracingServiceName exclude each other; tracingServiceName is used",
    },
    { source: "layer 0, field tracing", message: "zipkin and datadog exclude each other; datadog is used" },
  ]);
});

test("a field that is given under both of its names has the value of the one in camel case", () => {
  const { fields, findings } = merge({ status_port: 1, statusPort: 2, proxy_admin_port: 3 });
  expect(fields).toMatchObject({ statusPort: 2, proxyAdminPort: 3 });
  expect(findings.warnings).toEqual([
    { source: "layer 0, field status_port", message: "is ignored: the field is given as statusPort too" },
  ]);
});

test("connection settings come out in one spelling", () => {
  const { fields } = merge({
    connectionSettings: { profile: "EDGE", http_idle_timeout: "10m", httpMaxConcurrentStreams: "200", x: null },
  });
  expect(fields["connectionSettings"]).toEqual({
    profile: "EDGE",
    httpIdleTimeout: "600s",
    httpMaxConcurrentStreams: 200,
  });
});
