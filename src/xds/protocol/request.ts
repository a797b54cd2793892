// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../../lib/budget.ts";
import { bytesField, firstText, integerField, textField, textOf, valueOf, wireFields, wireType } from "./wire.ts";

/** Whether a response has all resources of its type (state of the world), or only the changes (delta). */
export type XdsProtocol = "sotw" | "delta";

/** A DiscoveryRequest or a DeltaDiscoveryRequest. `subscribe` holds the resource names of both. */
export interface XdsRequest {
  readonly typeUrl: string;
  /** The version accepted last; always empty for delta. */
  readonly version: string;
  readonly nonce: string;
  /** Set when the response with this nonce is rejected (NACK). */
  readonly error: { readonly code: number; readonly message: string } | undefined;
  readonly node: Uint8Array | undefined;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: ReadonlyMap<string, string>;
  /** All other fields, as they came. */
  readonly rest: readonly Uint8Array[];
}

/** Field numbers. Source: Envoy API, envoy/service/discovery/v3/discovery.proto */
const numbers = {
  sotw: { version: 1, node: 2, subscribe: 3, typeUrl: 4, nonce: 5, error: 6, unsubscribe: 0, initialVersions: 0 },
  delta: { version: 0, node: 1, typeUrl: 2, subscribe: 3, unsubscribe: 4, initialVersions: 5, nonce: 6, error: 7 },
} as const;

/**
 * Reads a request of either protocol.
 * @param names limits the resource names of the request
 * @throws WireError when the bytes are not a protobuf message; BudgetSpentError when there are too many names
 */
export function parseRequest(bytes: Uint8Array, protocol: XdsProtocol, names?: Budget): XdsRequest {
  const of = numbers[protocol];
  const found = { typeUrl: "", version: "", nonce: "" };
  let error: XdsRequest["error"];
  let node: Uint8Array | undefined;
  const subscribe: string[] = [];
  const unsubscribe: string[] = [];
  const initialVersions = new Map<string, string>();
  const rest: Uint8Array[] = [];
  let fields = 0;
  for (const field of wireFields(bytes)) {
    const number = field.type === wireType.bytes ? field.number : -1;
    // Each name may have a version beside it.
    if (names !== undefined && ++fields > 2 * names.size && !names.admits(fields)) throw names.spentError();
    if (number === of.typeUrl) found.typeUrl = textOf(bytes, field);
    else if (number === of.version) found.version = textOf(bytes, field);
    else if (number === of.nonce) found.nonce = textOf(bytes, field);
    else if (number === of.subscribe) subscribe.push(textOf(bytes, field));
    else if (number === of.unsubscribe) unsubscribe.push(textOf(bytes, field));
    else if (number === of.node) node = valueOf(bytes, field);
    else if (number === of.error) error = parseStatus(valueOf(bytes, field));
    else if (number === of.initialVersions) {
      const entry = valueOf(bytes, field);
      initialVersions.set(firstText(entry, 1), firstText(entry, 2));
    } else rest.push(bytes.subarray(field.start, field.end));
  }
  return { ...found, error, node, subscribe, unsubscribe, initialVersions, rest };
}

/** The bytes of a request; empty fields are left out. */
export function renderRequest(
  request: Partial<XdsRequest> & Pick<XdsRequest, "typeUrl">,
  protocol: XdsProtocol,
): Uint8Array {
  const of = numbers[protocol];
  const { node, error } = request;
  return Buffer.concat([
    of.version === 0 ? new Uint8Array(0) : textField(of.version, request.version ?? ""),
    node === undefined ? new Uint8Array(0) : bytesField(of.node, node),
    ...(request.subscribe ?? []).map((name) => bytesField(of.subscribe, Buffer.from(name))),
    textField(of.typeUrl, request.typeUrl),
    ...(protocol === "sotw" ? [] : (request.unsubscribe ?? []).map((name) => bytesField(4, Buffer.from(name)))),
    ...(protocol === "sotw" ? [] : [...(request.initialVersions ?? [])].map(renderVersion)),
    textField(of.nonce, request.nonce ?? ""),
    error === undefined ? new Uint8Array(0) : bytesField(of.error, renderStatus(error.code, error.message)),
    ...(request.rest ?? []),
  ]);
}

/** Of a node: its ID and `user_agent_name`, which is `envoy` for Envoy. Source: Envoy API, core/v3/base.proto */
export function nodeFacts(node: Uint8Array): { readonly id: string; readonly userAgent: string } {
  return { id: firstText(node, 1), userAgent: firstText(node, 6) };
}

function renderVersion([name, version]: readonly [string, string]): Uint8Array {
  return bytesField(5, Buffer.concat([textField(1, name), textField(2, version)]));
}

function renderStatus(code: number, message: string): Uint8Array {
  return Buffer.concat([integerField(1, code), textField(2, message)]);
}

function parseStatus(bytes: Uint8Array): { readonly code: number; readonly message: string } {
  let code = 0;
  for (const field of wireFields(bytes)) {
    if (field.number === 1 && field.type === wireType.varint) code = bytes[field.valueStart] ?? 0;
  }
  return { code, message: firstText(bytes, 2) };
}
