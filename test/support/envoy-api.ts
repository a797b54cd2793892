// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";

const packages = join(import.meta.dirname, "../../node_modules");
const includes = [
  ...["envoy-api", "xds", "googleapis", "protoc-gen-validate"].map((name) => join("@grpc/grpc-js-xds/deps", name)),
  "protobufjs",
].map((name) => join(packages, name));

const files = [
  "envoy/config/cluster/v3/cluster.proto",
  "envoy/config/endpoint/v3/endpoint.proto",
  "envoy/config/listener/v3/listener.proto",
  "envoy/config/route/v3/route.proto",
  "envoy/extensions/filters/http/router/v3/router.proto",
  "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto",
  "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.proto",
  "envoy/extensions/transport_sockets/tls/v3/tls.proto",
];

let loaded: protobuf.Root | undefined;

/**
 * A message of Envoy's full API in bytes, from its JSON form with names as in the protos. `@type` in an object makes
 * it an Any.
 */
export function encodeEnvoy(type: string, value: object): Uint8Array {
  loaded ??= load();
  const message = loaded.lookupType(type);
  const { "@type": _type, ...fields } = wrapAnys(value) as Record<string, unknown>;
  assertKnown(message, fields);
  return message.encode(message.fromObject(fields)).finish();
}

function wrapAnys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(wrapInner);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, wrapInner(inner)]));
}

function wrapInner(value: unknown): unknown {
  if (typeof value !== "object" || value === null || !("@type" in value)) return wrapAnys(value);
  const typeUrl = String(value["@type"]);
  return { type_url: typeUrl, value: encodeEnvoy(typeUrl.replace(/^.*\//, ""), value) };
}

/** protobufjs leaves out silently what it does not know. Its own well-known types have names in camel case. */
function assertKnown(type: protobuf.Type, value: object): void {
  for (const [name, inner] of Object.entries(value)) {
    const field = type.fields[name];
    if (field === undefined) throw new Error(`${type.fullName} has no field ${name}`);
    const { resolvedType } = field.resolve();
    if (!(resolvedType instanceof protobuf.Type)) continue;
    const isMany = field.map || field.repeated;
    const messages: readonly unknown[] = isMany ? Object.values(inner as object) : [inner];
    for (const message of messages) {
      if (typeof message === "object" && message !== null) assertKnown(resolvedType, message);
    }
  }
}

function load(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => includes.map((path) => join(path, target)).find(existsSync) ?? target;
  return root.loadSync(files, { keepCase: true });
}
