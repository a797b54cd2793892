// SPDX-License-Identifier: Apache-2.0
import { type FieldType, type MessageFields, proxyConfigFields } from "../../src/config/proxy-config/schema.ts";
import { podEnv, type TestInput } from "./parity-case.ts";
import { fc } from "./properties.ts";

/** Texts as nobody should write them: quotes, backslashes, control characters, half characters, slots, templates. */
const nasty = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
  { weight: 2, arbitrary: fc.string({ maxLength: 30 }) },
  fc.constantFrom(
    '"',
    "\\",
    "\\u0022",
    '{"$slot":"node"}',
    "\u0000",
    "\ud800",
    "{{ .x }}",
    "$(HOST_IP)",
    "é☃😀",
    "",
    "a,b",
    "__proto__",
  ),
  fc.constantFrom("vhost", "cluster.outbound", "http.{pod_ip}_", "10.96.0.7:9125", "zipkin.obs:9411", "[::1]:80"),
);

const duration = fc.oneof(fc.constantFrom("45s", "1m30s", "1.5s", "0.25s", "-5s", "soon"), nasty);

function valueOf(type: FieldType): fc.Arbitrary<unknown> {
  switch (type) {
    case "string":
      return nasty;
    case "bool":
    case "boolValue":
      return fc.boolean();
    case "int":
    case "uint":
    case "intValue":
      return fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.integer());
    case "number":
      return fc.double();
    case "duration":
      return duration;
    case "any":
      return fc.jsonValue();
    default:
      break;
  }
  if ("choice" in type) return fc.constantFrom(...type.choice.map(([name]) => name), 0);
  if ("list" in type) return fc.array(valueOf(type.list), { maxLength: 3 });
  if ("map" in type) return fc.dictionary(nasty, valueOf(type.map), { maxKeys: 3 });
  return messageOf(type.message);
}

function messageOf(fields: MessageFields): fc.Arbitrary<unknown> {
  const members = Object.entries(fields).map(([name, type]) => [
    name,
    fc.option(valueOf(type), { nil: undefined, freq: 2 }),
  ]);
  return fc.record(Object.fromEntries(members) as Record<string, fc.Arbitrary<unknown>>);
}

/** Some fields at a time: a config in which every field is wild is always wrong somewhere. */
const proxyConfig: fc.Arbitrary<object> = fc
  .subarray(Object.keys(proxyConfigFields), { maxLength: 4 })
  .chain((names) => {
    const fields: Record<string, fc.Arbitrary<unknown>> = {};
    for (const [name, type] of Object.entries(proxyConfigFields))
      if (names.includes(name)) fields[name] = valueOf(type);
    return fc.record(fields);
  });

const statsAnnotations = [
  "extraStatTags",
  "statsInclusionPrefixes",
  "statsInclusionSuffixes",
  "statsInclusionRegexps",
  "statsHistogramBuckets",
  "statsFlushInterval",
].map((name) => `sidecar.istio.io/${name}`);

/** A value as the downward API writes it, or a line that it never would. */
const quoted = fc.oneof(
  { weight: 9, arbitrary: nasty.map((text) => JSON.stringify(text)) },
  fc.constantFrom("unquoted", '"', "'ab'"),
);

const annotations = fc.dictionary(fc.oneof(fc.constantFrom(...statsAnnotations), nasty), quoted, { maxKeys: 4 });
const labels = fc.dictionary(
  fc.oneof(fc.constantFrom("app", "istio-locality", "service.istio.io/canonical-name", "version"), nasty),
  quoted,
  { maxKeys: 4 },
);

const lines = (entries: Readonly<Record<string, string>>): string =>
  Object.entries(entries)
    .map(([key, value]) => `${key}=${value}\n`)
    .join("");

/** Environments hold no NUL and no half characters. */
const envText = nasty.map((text) => text.replaceAll("\u0000", "").toWellFormed());

/** A pod with random configuration in every place that users write to. */
export const randomInput: fc.Arbitrary<TestInput> = fc
  .record({
    proxyConfig,
    annotations,
    labels,
    meta: fc.dictionary(fc.stringMatching(/^[A-Z_a-z0-9]{0,8}$/), envText, { maxKeys: 3 }),
    outlierLogPath: fc.option(envText, { nil: "", freq: 1 }),
    dualStack: fc.boolean(),
  })
  .map(({ proxyConfig: config, annotations: notes, labels: names, meta, outlierLogPath, dualStack }) => ({
    args: ["sidecar", `--outlierLogPath=${outlierLogPath}`],
    env: {
      ...podEnv,
      PROXY_CONFIG: JSON.stringify(config),
      ISTIO_DUAL_STACK: String(dualStack),
      ...Object.fromEntries(Object.entries(meta).map(([key, value]) => [`ISTIO_META_${key}`, value])),
    },
    files: new Map([
      ["etc/istio/pod/annotations", lines(notes)],
      ["etc/istio/pod/labels", lines(names)],
    ]),
    interfaces: [{ name: "eth0", loopback: false, addresses: ["10.1.2.3", "2001:db8::5"] }],
  }));
