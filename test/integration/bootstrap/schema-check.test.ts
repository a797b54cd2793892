// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { makeBootstrapSchema, renderBootstrapSchema } from "../../../scripts/bootstrap-schema.ts";
import { checkBootstrapSchema } from "../../../src/bootstrap/schema-check.ts";
import type { JsonObject, JsonValue } from "../../../src/lib/json.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { fc } from "../../support/properties.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const run = promisify(execFile);

test("23: bootstrap/schema.json is what the pinned Envoy has", () => {
  const path = join(import.meta.dirname, "../../../bootstrap/schema.json");
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(JSON.parse(renderBootstrapSchema(makeBootstrapSchema())));
});

const parseError = /Unable to parse JSON as proto|has unknown fields/;

/** Envoy's error of its parser; empty when it parses the document, whatever it says about the content. */
async function parserProblem(document: JsonObject): Promise<string> {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "envoy.json");
  const output = join(directory.path, "output");
  await writeFile(path, JSON.stringify(document));
  const args = ["--mode", "validate", "-c", path, "-l", "critical", "--disable-hot-restart"];
  const words = ["-c", 'output=$1; shift; exec "$@" >"$output" 2>&1', "sh", output, envoyBinary(), ...args];
  try {
    await run("sh", words, { cwd: directory.path, timeout: 20_000, killSignal: "SIGKILL" });
    return "";
  } catch {
    const text = (await readFile(output, "utf8")).replaceAll(/\s+/g, " ");
    expect(text).not.toBe("");
    return parseError.test(text) ? text.slice(-300) : "";
  }
}

type Place = (value: JsonValue) => JsonObject;

const node: JsonObject = { id: "a", cluster: "b" };
const plainCluster: JsonObject = { name: "x", type: "STATIC", connect_timeout: "1s" };
const inBootstrap = (fields: JsonObject): JsonObject => ({ node, ...fields });
const inCluster = (fields: JsonObject): JsonObject =>
  inBootstrap({ static_resources: { clusters: [{ ...plainCluster, ...fields }] } });
const inTypedConfig = (fields: JsonObject): JsonObject => {
  const type = "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig";
  const zipkin = { "@type": type, collector_cluster: "x", collector_endpoint: "/", ...fields };
  return { ...inCluster({}), tracing: { http: { name: "envoy.tracers.zipkin", typed_config: zipkin } } };
};

/** One field of each type and each kind, and the names that a field may have. */
const places: Readonly<Record<string, Place>> = {
  bool: (value) => inBootstrap({ enable_dispatcher_stats: value }),
  "bool in an Any, JSON name with a digit": (value) => inTypedConfig({ traceId128bit: value }),
  "bool in an Any, name with a digit": (value) => inTypedConfig({ trace_id_128bit: value }),
  BoolValue: (value) => inBootstrap({ stats_config: { use_all_default_tags: value } }),
  UInt32Value: (value) => inCluster({ perConnectionBufferLimitBytes: value }),
  uint64: (value) => inBootstrap({ memory_allocator_manager: { bytes_to_release: value } }),
  UInt64Value: (value) => inBootstrap({ stats_server_version_override: value }),
  double: (value) => inCluster({ common_lb_config: { healthy_panic_threshold: { value } } }),
  string: (value) => inBootstrap({ node: { ...node, userAgentName: value } }),
  bytes: (value) =>
    inBootstrap({
      static_resources: { secrets: [{ name: "s", generic_secret: { secret: { inline_bytes: value } } }] },
    }),
  enum: (value) => inCluster({ lb_policy: value }),
  Duration: (value) => inCluster({ connect_timeout: value }),
  Struct: (value) => inBootstrap({ node: { ...node, metadata: value } }),
  "list of strings": (value) => inBootstrap({ node: { ...node, client_features: value } }),
  "list of messages": (value) => inBootstrap({ node: { ...node, extensions: value } }),
  "list of doubles": (value) =>
    inBootstrap({ stats_config: { histogram_bucket_settings: [{ match: { prefix: "a" }, buckets: value }] } }),
  map: (value) => inBootstrap({ node: { ...node, dynamic_parameters: value } }),
  "map of strings": (value) => inBootstrap({ node: { ...node, dynamic_parameters: { a: { params: value } } } }),
  message: (value) => inBootstrap({ node: { ...node, locality: value } }),
  Any: (value) => inCluster({ transport_socket: { name: "envoy.transport_sockets.raw_buffer", typed_config: value } }),
  "a name in other letter case": (value) => inBootstrap({ Enable_Dispatcher_Stats: value }),
  "a name of both forms": (value) => inBootstrap({ enable_dispatcherStats: value }),
};

const rawBuffer = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
const texts = [
  ...["", "x", "true", "TRUE", "yes", "t", "n", "on", "0", "5", "5.0", "5.5", "1e3", "+5", " 5", "05", "0x5", "-1"],
  ...["4294967296", "18446744073709551616", "NaN", "Infinity", "5.", ".5", "5e", "1_0"],
  ...["ROUND_ROBIN", "round_robin", "Round-Robin", "ROUND", "1s", "0.25s", "1.s", ".5s", "1m", "250ms", "1h", "-1s"],
  ...["1.0000000001s", "315576000001s", "01s", "YQ==", "YQ", "_-8=", "YQ=", "a b"],
];
const scalar = fc.oneof(
  fc.constantFrom<JsonValue[]>(true, false, 0, 1, 5, 1.5, -1, 1_000, 4_294_967_296, 4_294_967_295, null),
  fc.constantFrom<JsonValue[]>(...texts),
);
const object = fc.oneof(
  fc.constantFrom<JsonValue[]>(
    {},
    { name: "e" },
    { subZone: "z" },
    { sub_zone: 5 },
    { params: { a: "b" } },
    { a: null },
  ),
  fc.constantFrom<JsonValue[]>({ "@type": `type.googleapis.com/${rawBuffer}` }, { "@type": rawBuffer }, { "@type": 5 }),
  fc.record({ value: scalar }),
  fc.record({ seconds: scalar }),
  fc.record({ a: scalar }),
);
const value: fc.Arbitrary<JsonValue> = fc.oneof(
  { arbitrary: scalar, weight: 4 },
  { arbitrary: object, weight: 2 },
  fc.array(fc.oneof(scalar, object), { maxLength: 2 }),
  fc.array(fc.array(scalar, { maxLength: 1 }), { maxLength: 1 }),
);

test("23: the check finds what Envoy's parser rejects, and nothing that it accepts", async () => {
  let rejected = 0;
  const runs = 200;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...Object.keys(places)), value, async (name, given) => {
      const document = places[name]?.(given) ?? {};
      const problem = await parserProblem(document);
      if (problem !== "") rejected++;
      const findings = checkBootstrapSchema(document).filter(({ path }) => !isEmptyAny(name, given, path));
      expect({ name, given, findings: findings.length > 0, problem }).toEqual({
        name,
        given,
        findings: problem !== "",
        problem,
      });
    }),
    { numRuns: runs, endOnFailure: true },
  );
  expect(rejected).toBeGreaterThan(runs / 10);
  expect(rejected).toBeLessThan(runs - runs / 10);
}, 300_000);

/** An empty configuration of an extension is parsed, but no extension has it. */
function isEmptyAny(name: string, given: JsonValue, path: string): boolean {
  return name === "Any" && JSON.stringify(given) === "{}" && path.endsWith("typed_config");
}
