// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { renderBootstrap } from "../../../src/bootstrap/index.ts";
import type { JsonObject } from "../../../src/lib/json.ts";
import { checkBootstrapSchema } from "../../../src/bootstrap/schema-check.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";

test("a generated bootstrap has nothing that Envoy's API does not have", () => {
  const config = parseConfig(testInput({ env: podEnv }));
  if (config.bootstrap.kind !== "generated") throw new Error("not generated");
  expect(checkBootstrapSchema(renderBootstrap(config.bootstrap.config))).toEqual([]);
});

describe("a part of a bootstrap is reported by field", () => {
  test.each([
    ["a misspelt field", { amdin: {} }, "amdin", "unknown field (did you mean admin?)", false],
    [
      "Go's form of a duration",
      { stats_flush_interval: "1m30s" },
      "stats_flush_interval",
      'must be a duration in seconds such as "1.5s", not "1m30s"',
      true,
    ],
    [
      "a list for a number",
      {
        static_resources: {
          clusters: [{ upstream_connection_options: { tcp_keepalive: { keepalive_time: [3] } } }],
        },
      },
      "static_resources.clusters[0].upstream_connection_options.tcp_keepalive.keepalive_time",
      "must be a whole number, 0 or more, not [3]",
      true,
    ],
    [
      "an unknown name of a choice",
      { static_resources: { clusters: [{ lb_policy: "ROUND" }] } },
      "static_resources.clusters[0].lb_policy",
      /^must be one of ROUND_ROBIN, .*, not "ROUND"$/,
      true,
    ],
    [
      "a text for a list",
      { static_resources: { listeners: "x" } },
      "static_resources.listeners",
      'must be an object, not "x"',
      true,
    ],
    [
      "an extension without its type",
      { tracing: { http: { name: "x", typed_config: {} } } },
      "tracing.http.typed_config",
      "must be an object with a member @type",
      true,
    ],
  ])("%s", (_title, document, path, message, certain) => {
    const [finding, ...more] = checkBootstrapSchema(document);
    expect(more).toEqual([]);
    expect(finding).toMatchObject({ path, certain });
    if (typeof message === "string") expect(finding?.message).toBe(message);
    else expect(finding?.message).toMatch(message);
  });

  test("names may be in camel case", () => {
    expect(checkBootstrapSchema({ statsFlushInterval: "5s" })).toEqual([]);
  });

  test("an extension of a type that is not known here is left alone", () => {
    const typed_config = { "@type": "type.googleapis.com/example.Unknown", anything: 1 };
    expect(checkBootstrapSchema({ bootstrap_extensions: [{ name: "x", typed_config }] })).toEqual([]);
  });
});

test.each(["constructor", "__proto__", "toString"])(
  "the type %s is one that Envoy may know, and is not checked",
  (name) => {
    const config = { "@type": `type.googleapis.com/${name}`, a: 1 };
    const document = { static_resources: { listeners: [{ listener_filters: [{ name: "x", typed_config: config }] }] } };
    expect(checkBootstrapSchema(document)).toEqual([]);
  },
);

test.each<[string, JsonObject]>([
  ["the JSON name of a field with a digit", { tracing: zipkin({ traceId128bit: true }) }],
  ["a boolean as text", { tracing: zipkin({ trace_id_128bit: "true" }) }],
  ["enums in lower case", { static_resources: { clusters: [{ type: "strict_dns", lb_policy: "round_robin" }] } }],
  ["one object for a list", { static_resources: { clusters: { name: "x", connect_timeout: "0.25s" } } }],
  ["a list in a list", { node: { client_features: [["x"], null] } }],
  [
    "wrappers and durations as messages",
    { stats_config: { use_all_default_tags: { value: "yes" } }, stats_flush_interval: { seconds: "5", nanos: 1 } },
  ],
  ["numbers as text", { static_resources: { clusters: [{ per_connection_buffer_limit_bytes: "1e3" }] } }],
  ["a field that is newer than the published API", { static_resources: { clusters: [{ dns_jitter: "1s" }] } }],
])("23: %s is what Envoy's parser accepts", (_title, document) => {
  expect(checkBootstrapSchema(document)).toEqual([]);
});

function zipkin(fields: JsonObject): JsonObject {
  const type = "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig";
  return { http: { name: "envoy.tracers.zipkin", typed_config: { "@type": type, ...fields } } };
}

test.each<[string, JsonObject, string]>([
  [
    "a number out of range",
    { static_resources: { clusters: [{ per_connection_buffer_limit_bytes: 4_294_967_296 }] } },
    "a whole number, 0 or more, at most 4294967295",
  ],
  [
    "a type without its prefix",
    { tracing: { http: { typed_config: { "@type": "a.B" } } } },
    "a URL such as type.googleapis.com/a.B",
  ],
  ["a number for a boolean", { enable_dispatcher_stats: 1 }, "true or false, not 1"],
])("23: %s is reported", (_title, document, message) => {
  expect(checkBootstrapSchema(document).map((finding) => finding.message)).toEqual([expect.stringContaining(message)]);
});
