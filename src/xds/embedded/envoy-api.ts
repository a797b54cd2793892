// SPDX-License-Identifier: Apache-2.0
import { inflateRawSync } from "node:zlib";
import { createFileRegistry, fromBinary, type Registry } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { envoyApi } from "../../gen/envoy-api.ts";

/**
 * The part of Envoy's API that resource files use. Loading takes some 60 ms. A file of its own because the Wasm filter of
 * the agent needs it too, without the parser of resource files.
 */
export function loadEnvoyApi(): Registry {
  const bytes = inflateRawSync(Buffer.from(envoyApi, "base64"));
  return createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));
}
