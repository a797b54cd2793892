// SPDX-License-Identifier: Apache-2.0
// Makes bootstrap/schema.json: the names and types that Envoy's bootstrap may hold, from the descriptors that an Envoy
// binary carries. So the schema is exactly that of the Envoy that the agent is tested with.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type DescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type as FieldType,
  type FieldDescriptorProto,
} from "@bufbuild/protobuf/wkt";
import { readEnvoyDescriptors } from "./envoy-descriptors.ts";

const root = join(import.meta.dirname, "..");
/** The Envoy that the tests run. */
const envoyPath = process.env["ENVOY_PATH"] ?? join(root, ".cache/envoy/1.40.0/envoy");

/** The bootstrap, and what stands in the `typed_config` of ours and of common overrides. */
const starts = [
  "envoy.config.bootstrap.v3.Bootstrap",
  "envoy.extensions.access_loggers.file.v3.FileAccessLog",
  "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
  "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
  "envoy.extensions.filters.http.router.v3.Router",
  "envoy.extensions.filters.http.compressor.v3.Compressor",
  "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
  "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
  "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
  "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
  "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
  "envoy.config.trace.v3.ZipkinConfig",
  "envoy.config.trace.v3.DatadogConfig",
  "envoy.config.trace.v3.LightstepConfig",
  "envoy.config.trace.v3.OpenTelemetryConfig",
  "envoy.config.metrics.v3.MetricsServiceConfig",
  "envoy.config.metrics.v3.StatsdSink",
];

/** Messages with a JSON form of their own, by the letters that the check knows them by; `w` before a wrapped scalar. */
const letters: Readonly<Record<string, string>> = {
  "google.protobuf.Duration": "d",
  "google.protobuf.Timestamp": "t",
  "google.protobuf.FieldMask": "v",
  "google.protobuf.Struct": "o",
  "google.protobuf.Value": "v",
  "google.protobuf.ListValue": "v",
  "google.protobuf.Any": "a",
  "google.protobuf.StringValue": "ws",
  "google.protobuf.BoolValue": "wb",
  "google.protobuf.BytesValue": "wy",
  "google.protobuf.DoubleValue": "wf",
  "google.protobuf.FloatValue": "wf",
  "google.protobuf.UInt32Value": "wu",
  "google.protobuf.UInt64Value": "wU",
  "google.protobuf.Int32Value": "wi",
  "google.protobuf.Int64Value": "wI",
};
/** `i` and `u` have 32 bits, `I` and `U` 64. */
const scalars: Readonly<Partial<Record<FieldType, string>>> = {
  [FieldType.STRING]: "s",
  [FieldType.BOOL]: "b",
  [FieldType.BYTES]: "y",
  [FieldType.DOUBLE]: "f",
  [FieldType.FLOAT]: "f",
  [FieldType.UINT32]: "u",
  [FieldType.FIXED32]: "u",
  [FieldType.UINT64]: "U",
  [FieldType.FIXED64]: "U",
  [FieldType.INT32]: "i",
  [FieldType.SINT32]: "i",
  [FieldType.SFIXED32]: "i",
  [FieldType.INT64]: "I",
  [FieldType.SINT64]: "I",
  [FieldType.SFIXED64]: "I",
};

export interface BootstrapSchema {
  readonly messages: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly enums: Readonly<Record<string, readonly string[]>>;
}

/** Everything that can be reached from the starts. `*` before a type is a list, `%` a map; `m` a message, `e` an enum. */
export function makeBootstrapSchema(binaryPath = envoyPath): BootstrapSchema {
  const api = readEnvoyDescriptors(readFileSync(binaryPath));
  const messages: Record<string, Record<string, string>> = {};
  const enums: Record<string, readonly string[]> = {};
  const typeOf = (field: FieldDescriptorProto): string => {
    const name = field.typeName.replace(/^\./, "");
    if (field.type === FieldType.ENUM) {
      enums[name] = api.enums.get(name)?.value.map((value) => value.name) ?? [];
      return `e${name}`;
    }
    if (field.type !== FieldType.MESSAGE) return scalars[field.type] ?? "v";
    const letter = letters[name];
    if (letter !== undefined) return letter;
    visit(name);
    return `m${name}`;
  };
  const fieldType = (field: FieldDescriptorProto): string => {
    if (field.label !== FieldDescriptorProto_Label.REPEATED) return typeOf(field);
    const entry = api.messages.get(field.typeName.replace(/^\./, ""));
    const value = entry?.options?.mapEntry === true ? valueOf(entry) : undefined;
    return value === undefined ? `*${typeOf(field)}` : `%${typeOf(value)}`;
  };
  const visit = (name: string): void => {
    if (messages[name] !== undefined) return;
    const message = api.messages.get(name);
    if (message === undefined) throw new Error(`${binaryPath} has no descriptor of ${name}`);
    const fields: Record<string, string> = {};
    messages[name] = fields;
    for (const field of message.field) fields[field.name] = fieldType(field);
  };
  for (const name of starts) visit(name);
  return { messages, enums };
}

function valueOf(entry: DescriptorProto): FieldDescriptorProto | undefined {
  return entry.field.find(({ name }) => name === "value");
}

/** The file's text. Names are numbers into lists: that makes it a fraction of the size. */
export function renderBootstrapSchema({ messages, enums }: BootstrapSchema): string {
  const messageNames = Object.keys(messages).sort();
  const enumNames = Object.keys(enums).sort();
  const short = (type: string): string =>
    type
      .replace(/^([*%]?m)(.+)$/, (_, head: string, name: string) => `${head}${String(messageNames.indexOf(name))}`)
      .replace(/^([*%]?e)(.+)$/, (_, head: string, name: string) => `${head}${String(enumNames.indexOf(name))}`);
  const lines = [
    ...messageNames.map((name) => {
      const fields = Object.entries(messages[name] ?? {}).map(([field, type]) => `${field}:${short(type)}`);
      return `    ${JSON.stringify(name)}: ${JSON.stringify(fields.join(" "))}`;
    }),
  ];
  const enumLines = enumNames.map(
    (name) => `    ${JSON.stringify(name)}: ${JSON.stringify((enums[name] ?? []).join(" "))}`,
  );
  return `{\n  "messages": {\n${lines.join(",\n")}\n  },\n  "enums": {\n${enumLines.join(",\n")}\n  }\n}\n`;
}

if (process.argv[1] === import.meta.filename) {
  writeFileSync(join(root, "bootstrap/schema.json"), renderBootstrapSchema(makeBootstrapSchema()));
}
