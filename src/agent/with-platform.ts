// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { JsonObject, JsonValue } from "../lib/json.ts";
import type { NodeIdentity } from "../model/node.ts";
import type { PlatformFacts } from "../platform/index.ts";

/** The configuration of a node that knows its platform. A locality that is known already stays. */
export function withPlatform(config: AgentConfig, facts: PlatformFacts): AgentConfig {
  const node = nodeWithPlatform(config.node, facts);
  const { bootstrap, grpcBootstrap } = config;
  return {
    ...config,
    node,
    bootstrap: bootstrap.kind === "generated" ? { ...bootstrap, config: { ...bootstrap.config, node } } : bootstrap,
    grpcBootstrap:
      grpcBootstrap === undefined
        ? undefined
        : { ...grpcBootstrap, document: documentWithNode(grpcBootstrap.document, node) },
  };
}

function nodeWithPlatform(node: NodeIdentity, { metadata, locality }: PlatformFacts): NodeIdentity {
  const known = node.locality.region !== "" || node.locality.zone !== "";
  const platform: JsonObject = Object.keys(metadata).length === 0 ? {} : { PLATFORM_METADATA: metadata };
  return {
    ...node,
    locality: known ? node.locality : locality,
    metadata: { ...node.metadata, ...platform },
    typedMetadata: { ...node.typedMetadata, ...platform },
  };
}

function documentWithNode(document: JsonObject, node: NodeIdentity): JsonObject {
  const { node: shown } = document;
  if (shown === undefined || !isObject(shown)) return document;
  const { region, zone, subZone } = node.locality;
  const locality = Object.entries({ region, zone, sub_zone: subZone }).filter(([, text]) => text !== "");
  const metadata: JsonObject = { ...node.typedMetadata, GENERATOR: "grpc" };
  return { ...document, node: { ...shown, metadata, locality: Object.fromEntries(locality) } };
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
