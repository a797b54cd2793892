// SPDX-License-Identifier: Apache-2.0
// Makes bootstrap/schema.json: the names and types that Envoy's bootstrap may hold, from a published copy of its API.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";

const root = join(import.meta.dirname, "..");
const includes = [
  ...["envoy-api", "xds", "googleapis", "protoc-gen-validate"].map((name) => join("@grpc/grpc-js-xds/deps", name)),
  "protobufjs",
].map((name) => join(root, "node_modules", name));

/** The bootstrap, and what stands in the `typed_config` of ours and of common overrides. */
const starts = [
  "envoy/config/bootstrap/v3/bootstrap.proto envoy.config.bootstrap.v3.Bootstrap",
  "envoy/extensions/access_loggers/file/v3/file.proto envoy.extensions.access_loggers.file.v3.FileAccessLog",
  "envoy/extensions/upstreams/http/v3/http_protocol_options.proto envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
  "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
  "envoy/extensions/filters/http/router/v3/router.proto envoy.extensions.filters.http.router.v3.Router",
  "envoy/extensions/filters/http/compressor/v3/compressor.proto envoy.extensions.filters.http.compressor.v3.Compressor",
  "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.proto envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
  "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.proto envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
  "envoy/extensions/transport_sockets/tls/v3/tls.proto envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
  "envoy/extensions/transport_sockets/tls/v3/tls.proto envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
  "envoy/extensions/load_balancing_policies/least_request/v3/least_request.proto envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
  "envoy/config/trace/v3/zipkin.proto envoy.config.trace.v3.ZipkinConfig",
  "envoy/config/trace/v3/datadog.proto envoy.config.trace.v3.DatadogConfig",
  "envoy/config/trace/v3/lightstep.proto envoy.config.trace.v3.LightstepConfig",
  "envoy/config/trace/v3/opentelemetry.proto envoy.config.trace.v3.OpenTelemetryConfig",
  "envoy/config/metrics/v3/metrics_service.proto envoy.config.metrics.v3.MetricsServiceConfig",
  "envoy/config/metrics/v3/stats.proto envoy.config.metrics.v3.StatsdSink",
].map((line) => line.split(" ") as [string, string]);

/** Messages with a JSON form of their own, by the letter that the check knows them by. */
const letters: Readonly<Record<string, string>> = {
  "google.protobuf.Duration": "d",
  "google.protobuf.Timestamp": "t",
  "google.protobuf.Struct": "o",
  "google.protobuf.Value": "v",
  "google.protobuf.ListValue": "v",
  "google.protobuf.Any": "a",
  "google.protobuf.StringValue": "s",
  "google.protobuf.BoolValue": "b",
  "google.protobuf.BytesValue": "y",
  "google.protobuf.DoubleValue": "f",
  "google.protobuf.FloatValue": "f",
  "google.protobuf.UInt32Value": "u",
  "google.protobuf.UInt64Value": "u",
  "google.protobuf.Int32Value": "i",
  "google.protobuf.Int64Value": "i",
};
const scalars: Readonly<Record<string, string>> = {
  string: "s",
  bool: "b",
  bytes: "y",
  double: "f",
  float: "f",
  uint32: "u",
  uint64: "u",
  fixed32: "u",
  fixed64: "u",
  int32: "i",
  int64: "i",
  sint32: "i",
  sint64: "i",
};

/** Fields that Envoy has and the published copy does not yet. Source: Envoy 1.40's bootstrap.proto */
const newer: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "envoy.config.bootstrap.v3.Bootstrap": { stats_eviction_interval: "d" },
};

export interface BootstrapSchema {
  readonly messages: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly enums: Readonly<Record<string, readonly string[]>>;
}

/** Everything that can be reached from the starts. `*` before a type is a list, `%` a map; `m` a message, `e` an enum. */
export function makeBootstrapSchema(): BootstrapSchema {
  const api = new protobuf.Root();
  api.resolvePath = (origin, target) =>
    includes.map((folder) => join(folder, target)).find((path) => existsSync(path)) ??
    protobuf.util.path.resolve(origin, target);
  const present = starts.filter(([file]) => includes.some((folder) => existsSync(join(folder, file))));
  api.loadSync([...new Set(present.map(([file]) => file))], { keepCase: true });
  api.resolveAll();
  const messages: Record<string, Record<string, string>> = {};
  const enums: Record<string, readonly string[]> = {};
  const typeOf = (field: protobuf.Field): string => {
    const type = field.resolvedType;
    if (type === null) return scalars[field.type] ?? "v";
    const name = type.fullName.slice(1);
    if (type instanceof protobuf.Enum) {
      enums[name] = Object.keys(type.values);
      return `e${name}`;
    }
    const letter = letters[name];
    if (letter !== undefined) return letter;
    visit(type);
    return `m${name}`;
  };
  const visit = (type: protobuf.Type): void => {
    const name = type.fullName.slice(1);
    if (messages[name] !== undefined) return;
    const fields: Record<string, string> = { ...newer[name] };
    messages[name] = fields;
    for (const field of type.fieldsArray) {
      const many = field instanceof protobuf.MapField ? "%" : field.repeated ? "*" : "";
      fields[field.name] = many + typeOf(field);
    }
  };
  for (const [, name] of present) visit(api.lookupType(name));
  return { messages, enums };
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
