// SPDX-License-Identifier: Apache-2.0
import { runSteps, type Steps } from "../../lib/async/time-slice.ts";
import type { XdsProtocol } from "./request.ts";
import { bytesField, firstText, textField, textOf, valueOf, wireFields, wireType } from "./wire.ts";

/** One resource. Its message is not decoded. */
export interface XdsResource {
  readonly name: string;
  /** Only with delta; empty with state of the world. */
  readonly version: string;
  /** The `google.protobuf.Any` as it came. */
  readonly any: Uint8Array;
}

/** A response. The messages of its resources are not decoded. */
export interface XdsResponse {
  readonly typeUrl: string;
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly XdsResource[];
  /** Only with delta. */
  readonly removed: readonly string[];
}

/**
 * Reads a whole response. State of the world has no names beside the resources: there the name is the resource's first
 * field, as in every type of Envoy's API that has a name.
 * @throws WireError
 */
export function parseResponse(bytes: Uint8Array, protocol: XdsProtocol): XdsResponse {
  const found = { typeUrl: "", version: "", nonce: "" };
  const resources: XdsResource[] = [];
  const removed: string[] = [];
  for (const field of wireFields(bytes)) {
    if (field.type !== wireType.bytes) continue;
    const value = valueOf(bytes, field);
    if (field.number === 1) found.version = textOf(bytes, field);
    else if (field.number === 2) resources.push(protocol === "sotw" ? parseAny(value) : parseDeltaResource(value));
    else if (field.number === 4) found.typeUrl = textOf(bytes, field);
    else if (field.number === 5) found.nonce = textOf(bytes, field);
    else if (field.number === 6 && protocol === "delta") removed.push(textOf(bytes, field));
  }
  return { ...found, resources, removed };
}

/** The bytes of a response. */
export function renderResponse(response: XdsResponse, protocol: XdsProtocol): Uint8Array {
  return runSteps(renderResponseSteps(response, protocol));
}

const resourcesPerStep = 16;

/** As `renderResponse`, for a response that may have thousands of resources. */
export function* renderResponseSteps(response: XdsResponse, protocol: XdsProtocol): Steps<Uint8Array> {
  const parts = [textField(1, response.version)];
  for (const [index, { name, version, any }] of response.resources.entries()) {
    const resource =
      protocol === "sotw" ? any : Buffer.concat([textField(1, version), bytesField(2, any), textField(3, name)]);
    parts.push(bytesField(2, resource));
    if (index % resourcesPerStep === 0) yield;
  }
  parts.push(textField(4, response.typeUrl), textField(5, response.nonce));
  if (protocol === "delta") for (const name of response.removed) parts.push(bytesField(6, Buffer.from(name)));
  return Buffer.concat(parts);
}

/** The serialised message inside an Any. */
export function contentOf(any: Uint8Array): Uint8Array {
  for (const field of wireFields(any)) {
    if (field.number === 2 && field.type === wireType.bytes) return valueOf(any, field);
  }
  return new Uint8Array(0);
}

/** An Any of a serialised message. */
export function anyOf(typeUrl: string, content: Uint8Array): Uint8Array {
  return Buffer.concat([textField(1, typeUrl), bytesField(2, content)]);
}

function parseAny(any: Uint8Array): XdsResource {
  return { name: nameOf(contentOf(any)), version: "", any };
}

/** Empty for a type whose first field is not a name. */
function nameOf(content: Uint8Array): string {
  try {
    return firstText(content, 1);
  } catch {
    return "";
  }
}

function parseDeltaResource(bytes: Uint8Array): XdsResource {
  let any: Uint8Array = new Uint8Array(0);
  for (const field of wireFields(bytes)) {
    if (field.number === 2 && field.type === wireType.bytes) any = valueOf(bytes, field);
  }
  return { name: firstText(bytes, 3), version: firstText(bytes, 1), any };
}
