// SPDX-License-Identifier: Apache-2.0
import { fromBinary, fromJson, type JsonValue, toBinary, toJson } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { loadEnvoyApi } from "../embedded/envoy-api.ts";
import { firstText, valueOf, wireFields } from "../protocol/wire.ts";

/**
 * The message that a TypedStruct describes in JSON, if it is of one of the types.
 * @throws Error when the JSON does not fit the type
 */
export function convertTypedStruct(
  bytes: Uint8Array,
  types: ReadonlySet<string>,
): { readonly typeUrl: string; readonly value: Uint8Array } | undefined {
  const typeUrl = firstText(bytes, 1);
  if (!types.has(typeUrl)) return undefined;
  const api = loadEnvoyApi();
  const message = api.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
  if (message === undefined) return undefined;
  let json: JsonValue = {};
  for (const field of wireFields(bytes)) {
    if (field.number === 2) json = toJson(StructSchema, fromBinary(StructSchema, valueOf(bytes, field)));
  }
  const options = { registry: api, ignoreUnknownFields: true };
  return { typeUrl, value: toBinary(message, fromJson(message, json, options)) };
}
