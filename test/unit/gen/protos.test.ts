// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import { describe, expect, test } from "vitest";

const ours = join(import.meta.dirname, "../../../protos");
const packages = join(import.meta.dirname, "../../../node_modules");
const publishedRoots = [
  ...["envoy-api", "xds", "googleapis", "protoc-gen-validate"].map((name) => join("@grpc/grpc-js-xds/deps", name)),
  "protobufjs",
].map((name) => join(packages, name));

/** Facts of APIs that no package at hand publishes, each read from the file that its proto names as its source. */
const facts: Readonly<Record<string, readonly string[]>> = {
  "istio.v1.auth.IstioCertificateRequest": [
    "1 string csr",
    "3 int64 validity_duration",
    "4 google.protobuf.Struct metadata",
  ],
  "istio.v1.auth.IstioCertificateResponse": ["1 repeated string cert_chain"],
  "istio.mesh.v1alpha1.ProxyConfig": ["34 repeated string ca_certificates_pem"],
  "spiffe.X509SVIDRequest": [],
  "spiffe.X509SVIDResponse": [
    "1 repeated spiffe.X509SVID svids",
    "2 repeated bytes crl",
    "3 map<string> bytes federated_bundles",
  ],
  "spiffe.X509SVID": [
    "1 string spiffe_id",
    "2 bytes x509_svid",
    "3 bytes x509_svid_key",
    "4 bytes bundle",
    "5 string hint",
  ],
  // the package is older than the failure policy
  "envoy.extensions.wasm.v3.PluginConfig": [
    "3 envoy.extensions.wasm.v3.VmConfig vm_config in vm",
    "5 bool fail_open",
    "7 envoy.extensions.wasm.v3.FailurePolicy failure_policy",
  ],
  "grpc.health.v1.HealthCheckRequest": ["1 string service"],
  "grpc.health.v1.HealthCheckResponse": ["1 grpc.health.v1.HealthCheckResponse.ServingStatus status"],
  "envoy.extensions.private_key_providers.cryptomb.v3alpha.CryptoMbPrivateKeyMethodConfig": [
    "1 envoy.config.core.v3.DataSource private_key",
    "2 google.protobuf.Duration poll_delay",
  ],
  "envoy.extensions.private_key_providers.qat.v3alpha.QatPrivateKeyMethodConfig": [
    "1 envoy.config.core.v3.DataSource private_key",
    "2 google.protobuf.Duration poll_delay",
  ],
};

const files = readdirSync(ours, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".proto"));
const mine = loadRoot([ours], files);
const full = loadRoot(publishedRoots, files.filter(isPublished));

describe.each(messagesOf(mine, files))("%s", (name) => {
  test("has the names, numbers, types and labels of the API", () => {
    const known = facts[name] ?? messageFields(full.lookupType(name));
    expect(known).toEqual(expect.arrayContaining(messageFields(mine.lookupType(name))));
  });
});

test("health's serving states have the numbers of the API", () => {
  const states = mine.lookupEnum("grpc.health.v1.HealthCheckResponse.ServingStatus").values;
  expect(states).toEqual({ UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 });
});

function isPublished(file: string): boolean {
  return publishedRoots.some((root) => existsSync(join(root, file)));
}

function loadRoot(includes: readonly string[], names: readonly string[]): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => {
    const hit = includes.map((include) => join(include, target)).find((path) => existsSync(path));
    return hit ?? target;
  };
  root.loadSync([...names], { keepCase: true });
  root.resolveAll();
  return root;
}

/** Full names of the messages that our own files define. */
function messagesOf(root: protobuf.Root, names: readonly string[]): string[] {
  const found: string[] = [];
  const visit = (scope: protobuf.NamespaceBase): void => {
    for (const child of scope.nestedArray) {
      if (child instanceof protobuf.Type && names.some((name) => child.filename === join(ours, name))) {
        found.push(child.fullName.slice(1));
      }
      if (child instanceof protobuf.Namespace) visit(child);
    }
  };
  visit(root);
  return found.sort();
}

/** One line for each field: number, label, type, name, and the oneof it is part of. */
function messageFields(type: protobuf.Type): string[] {
  return type.fieldsArray.map((field) => {
    const of = field.resolvedType?.fullName.slice(1) ?? field.type;
    const label = field instanceof protobuf.MapField ? `map<${field.keyType}>` : field.repeated ? "repeated" : "";
    const oneof = field.partOf === null ? "" : `in ${field.partOf.name}`;
    return [String(field.id), label, of, field.name, oneof].filter((part) => part !== "").join(" ");
  });
}
