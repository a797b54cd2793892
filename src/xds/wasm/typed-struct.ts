// SPDX-License-Identifier: Apache-2.0
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { TypedStruct } from "../../gen/udpa/type/v1/typed_struct.ts";
import { loadEnvoyApi } from "../embedded/envoy-api.ts";

/**
 * The message that a TypedStruct describes in JSON; undefined when it is not of one of the types.
 * Apart from its caller because the descriptors of Envoy's API are large: they are loaded for a TypedStruct only.
 * @throws Error when the JSON does not fit the type
 */
export function convertTypedStruct(
  bytes: Uint8Array,
  types: ReadonlySet<string>,
): { readonly typeUrl: string; readonly value: Uint8Array } | undefined {
  const { typeUrl, value: json = {} } = TypedStruct.decode(bytes);
  if (!types.has(typeUrl)) return undefined;
  const api = loadEnvoyApi();
  const message = api.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
  if (message === undefined) return undefined;
  const options = { registry: api, ignoreUnknownFields: true };
  return { typeUrl, value: toBinary(message, fromJson(message, json, options)) };
}
