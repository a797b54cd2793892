// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { makeBootstrapSchema, renderBootstrapSchema } from "../../../scripts/bootstrap-schema.ts";
import { renderBootstrap } from "../../../src/bootstrap/index.ts";
import { checkBootstrapSchema } from "../../../src/bootstrap/schema-check.ts";
import { parseConfig } from "../../../src/config/index.ts";
import { podEnv, testInput } from "../../support/parity-case.ts";

test("bootstrap/schema.json is what the published API gives", () => {
  const path = join(import.meta.dirname, "../../../bootstrap/schema.json");
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(JSON.parse(renderBootstrapSchema(makeBootstrapSchema())));
});

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
      "an object for a number",
      {
        static_resources: {
          clusters: [{ upstream_connection_options: { tcp_keepalive: { keepalive_time: { value: 3 } } } }],
        },
      },
      "static_resources.clusters[0].upstream_connection_options.tcp_keepalive.keepalive_time",
      'must be a whole number, 0 or more, not {"value":3}',
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
      "an object for a list",
      { static_resources: { listeners: {} } },
      "static_resources.listeners",
      "must be a list, not {}",
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
