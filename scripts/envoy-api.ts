// SPDX-License-Identifier: Apache-2.0
// Descriptors of the part of Envoy's API that a person may write in a resource file: names, numbers and types, without
// comments, options and services, from the published package that the tests use as well.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";

const wanted = [
  ...["cluster", "listener", "route", "endpoint", "core", "rbac", "accesslog"].map((name) => `envoy/config/${name}/v3`),
  "envoy/type",
  ...["filters", "transport_sockets", "upstreams", "access_loggers", "clusters", "load_balancing_policies"].map(
    inExtensions,
  ),
  ...["http", "common", "compression", "retry", "health_checkers", "wasm"].map(inExtensions),
  "udpa/type",
  "xds/type",
];

/** Of another project; the package does not have it. */
const incomplete = "envoy/extensions/access_loggers/open_telemetry";

/** Annotations for code generators and validators; nothing of them is in a message. */
const annotations = /^(validate|google\/api\/(?!expr))|\/annotations\/|^google\/protobuf\/descriptor/;

/** A TypeScript module with the descriptors, compressed. */
export function renderEnvoyApi(root: string): string {
  const set = fromBinary(FileDescriptorSetSchema, compile(root));
  const files = set.file.filter(({ name }) => !annotations.test(name));
  for (const file of files) stripFile(file);
  const bytes = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: files }));
  const lines =
    deflateRawSync(bytes, { level: 9 })
      .toString("base64")
      .match(/.{1,110}/g) ?? [];
  const text = lines.map((line) => `  "${line}",`).join("\n");
  const what =
    "A FileDescriptorSet with the part of Envoy's API that resource files are written in, deflated, in base64.";
  return `// SPDX-License-Identifier: Apache-2.0\n// Made by scripts/generate.ts.\n\n/** ${what} */\nexport const envoyApi: string = [\n${text}\n].join("");\n`;
}

function compile(root: string): Uint8Array {
  const scratch = mkdtempSync(join(tmpdir(), "attache-api-"));
  try {
    for (const part of ["envoy-api", "xds", "googleapis", "protoc-gen-validate"]) {
      cpSync(join(root, "node_modules/@grpc/grpc-js-xds/deps", part), scratch, { recursive: true });
    }
    rmSync(join(scratch, incomplete), { recursive: true });
    writeFileSync(join(scratch, "buf.yaml"), "version: v2\n");
    loosenRules(scratch);
    const paths = wanted.filter((path) => existsSync(join(scratch, path))).flatMap((path) => ["--path", path]);
    const buf = join(root, "node_modules/@bufbuild/buf/bin/buf");
    const args = [buf, "build", ".", ...paths, "--exclude-source-info", "-o", "api.binpb"];
    execFileSync(process.execPath, args, { stdio: "inherit", cwd: scratch });
    return readFileSync(join(scratch, "api.binpb"));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The package's copy of the validation rules is older than its API; a rule that it lacks would not compile. */
function loosenRules(directory: string): void {
  for (const name of readdirSync(join(directory, "envoy"), { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(".proto")) continue;
    const path = join(directory, "envoy", name);
    const text = readFileSync(path, "utf8");
    if (text.includes("ignore_empty")) writeFileSync(path, text.replaceAll(/,? *ignore_empty: true/g, ""));
  }
}

function inExtensions(name: string): string {
  return `envoy/extensions/${name}`;
}

function stripFile(file: FileDescriptorProto): void {
  file.dependency = file.dependency.filter((name) => !annotations.test(name));
  for (const list of [file.publicDependency, file.weakDependency, file.service, file.extension]) list.length = 0;
  delete file.options;
  for (const message of file.messageType) stripMessage(message);
  for (const enumeration of file.enumType) stripEnum(enumeration);
}

function stripMessage(message: DescriptorProto): void {
  const isMapEntry = message.options?.mapEntry === true;
  delete message.options;
  if (isMapEntry) message.options = create(MessageOptionsSchema, { mapEntry: true });
  for (const field of message.field) delete field.options;
  for (const oneof of message.oneofDecl) delete oneof.options;
  for (const nested of message.nestedType) stripMessage(nested);
  for (const enumeration of message.enumType) stripEnum(enumeration);
}

function stripEnum(enumeration: EnumDescriptorProto): void {
  delete enumeration.options;
  for (const value of enumeration.value) delete value.options;
}
