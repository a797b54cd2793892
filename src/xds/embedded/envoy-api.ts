// SPDX-License-Identifier: Apache-2.0
import { inflateRawSync } from "node:zlib";
import { createFileRegistry, fromBinary, type Registry } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { envoyApi } from "../../gen/envoy-api.ts";

/** Envoy's API as far as resource files are written in it. Takes some 60 ms; for commands, never for the agent. */
export function loadEnvoyApi(): Registry {
  const bytes = inflateRawSync(Buffer.from(envoyApi, "base64"));
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
}
