// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadEnvoyApi } from "../../../../src/xds/embedded/envoy-api.ts";
import { parseResourceFile } from "../../../../src/xds/embedded/resource-file.ts";
import { encodeEnvoy } from "../../../support/envoy-api.ts";
import { contentOf } from "../../../../src/xds/protocol/response.ts";

const api = loadEnvoyApi();
const examples = join(import.meta.dirname, "../../../../examples/dev");

function parse(text: string) {
  return parseResourceFile("/r/cds.yaml", text, api);
}

function clusterWith(...lines: readonly string[]): string {
  const head = ["resources:", '- "@type": type.googleapis.com/envoy.config.cluster.v3.Cluster', "  name: app"];
  return [...head, ...lines.map((line) => `  ${line}`)].join("\n");
}

test("a resource is the message that its fields say", () => {
  const [resource] = parse(
    clusterWith("type: STATIC", "connect_timeout: 1.5s", "loadAssignment: { clusterName: app }"),
  );
  expect(resource).toMatchObject({ name: "app", typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster" });
  const expected = encodeEnvoy("envoy.config.cluster.v3.Cluster", {
    name: "app",
    type: "STATIC",
    connect_timeout: { seconds: 1, nanos: 500_000_000 },
    load_assignment: { cluster_name: "app" },
  });
  expect(Buffer.from(contentOf(resource?.any ?? new Uint8Array(0)))).toEqual(Buffer.from(expected));
});

test("23: every form that Envoy's parser takes is taken, in a resource and in an Any", () => {
  const strict = [
    "type: STRICT_DNS",
    "connect_timeout: 1.5s",
    "per_connection_buffer_limit_bytes: 1000",
    "ignore_health_on_host_removal: true",
    "health_checks: [{ timeout: 1s, interval: 1s, unhealthy_threshold: 2, healthy_threshold: 1, tcp_health_check: {} }]",
    "transport_socket:",
    "  name: t",
    "  typed_config:",
    '    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    "    allow_renegotiation: true",
    "    common_tls_context: { alpn_protocols: [h2], tls_params: { tls_minimum_protocol_version: TLSv1_2 } }",
  ];
  const others = [
    "type: strict_dns",
    "connect_timeout: { seconds: 1, nanos: '500000000' }",
    "per_connection_buffer_limit_bytes: { value: '1e3' }",
    "ignore_health_on_host_removal: 'yes'",
    "health_checks: { timeout: 1s, interval: 1s, unhealthyThreshold: '2', healthy_threshold: 1.0, tcp_health_check: {} }",
    "transport_socket:",
    "  name: t",
    "  typed_config:",
    '    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
    "    allow_renegotiation: 'true'",
    "    common_tls_context: { alpn_protocols: h2, tls_params: { tls_minimum_protocol_version: tlsv1_2 } }",
  ];
  const [given] = parse(clusterWith(...others));
  const [expected] = parse(clusterWith(...strict));
  expect(Buffer.from(given?.any ?? "")).toEqual(Buffer.from(expected?.any ?? "-"));
});

describe("what is wrong is said with file and line:", () => {
  test.each<[string, string, number, string]>([
    ["no YAML", "resources: [\n  a: b: c", 2, "not YAML"],
    ["too many levels", `resources: ${"[".repeat(150_000)}`, 1, "is nested deeper than 100 levels"],
    ["too many values", `resources: [${"[],".repeat(50_000)}]`, 1, "has more than 20000 names and values"],
    ["no list", "a: 1", 1, "no list `resources`"],
    ["no type", "resources:\n- name: a", 2, "no @type"],
    ["an unknown type", 'resources:\n- "@type": type.googleapis.com/x.Y', 2, "not known here"],
    ["an unknown field", clusterWith("type: STATIC", "conect_timeout: 1s"), 5, "no field conect_timeout"],
    ["a wrong value", clusterWith("type: STATIK"), 4, "STATIK"],
    ["a wrong duration", clusterWith("connect_timeout: soon"), 4, "Duration"],
    ["a list that is none", clusterWith("health_checks: 7"), 4, "expected an object"],
    [
      "a field inside",
      clusterWith("load_assignment:", "  cluster_name: app", "  endpoint: []"),
      6,
      "no field endpoint",
    ],
    [
      "a field inside an Any",
      clusterWith(
        "transport_socket:",
        "  name: t",
        "  typed_config:",
        '    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        "    snii: a",
      ),
      8,
      "no field snii",
    ],
    ["no name", clusterWith().replace("  name: app", "  type: STATIC"), 2, "no name"],
  ])("%s", (_what, text, line, problem) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: "AGENT_XDS_RESOURCE", line }));
    expect(() => parse(text)).toThrow(problem);
  });
});

test("the demo's files are right", () => {
  const files = readdirSync(examples, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".yaml"));
  const names = files.flatMap((name) => {
    const text = readFileSync(join(examples, name), "utf8").replaceAll(
      /\$\{([A-Z_]+)\}/g,
      (_whole, placeholder: string) =>
        placeholder.endsWith("PORT") ? "1" : placeholder.endsWith("SOURCE") ? "{ ads: {} }" : "x",
    );
    return parseResourceFile(name, text, api).map((resource) => resource.name);
  });
  expect(names.length).toBeGreaterThanOrEqual(files.length);
});
