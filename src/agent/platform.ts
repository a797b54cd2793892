// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { deadline } from "../lib/async/clock.ts";
import type { Deps } from "../lib/deps.ts";
import { readHostLimits } from "../lib/host-limits.ts";
import { isJsonObject, type JsonObject } from "../lib/json.ts";
import type { Budgets } from "../model/limits.ts";
import type { NodeIdentity } from "../model/node.ts";
import type { PlatformFacts } from "../platform/index.ts";

type PlatformDeps = Pick<Deps, "clock" | "log">;

/** Adds the locality from the cloud's metadata server to the configuration. Waits for `platform.waitMs` at most. */
export async function awaitPlatform(config: AgentConfig, deps: PlatformDeps, stop: AbortSignal): Promise<AgentConfig> {
  using limit = deadline(deps.clock, config.platform.waitMs, stop);
  const { lookUpPlatform } = await import("../platform/index.ts");
  const [{ createBudgets }, { limits }] = await Promise.all([
    import("../lib/budget-set.ts"),
    import("../model/limits.ts"),
  ]);
  const budgets = createBudgets(limits, readHostLimits());
  const facts = await lookUpPlatform(config.platform, { ...deps, budgets }, limit.signal);
  if (facts !== undefined) return withPlatform(config, facts);
  deps.log.warn("no locality from the cloud platform in time; starting Envoy without it", {
    platform: config.platform.kind,
    waitedMs: config.platform.waitMs,
  });
  return config;
}

/** Logs what the cloud's metadata server knows about the machine, where Envoy's start does not depend on it. */
export async function logPlatform(
  { platform }: AgentConfig,
  deps: PlatformDeps & { readonly budgets: Budgets },
  stop: AbortSignal,
): Promise<void> {
  if (platform.kind === "none" || platform.localityNeeded) return;
  const { lookUpPlatform } = await import("../platform/index.ts");
  const facts = await lookUpPlatform(platform, deps, stop);
  if (facts !== undefined) deps.log.info("platform detected", { ...facts.metadata });
}

/** The configuration with the platform's metadata in its node. A locality that is set already stays. */
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
  if (!isJsonObject(shown)) return document;
  const { region, zone, subZone } = node.locality;
  const locality = Object.entries({ region, zone, sub_zone: subZone }).filter(([, text]) => text !== "");
  const metadata: JsonObject = { ...node.typedMetadata, GENERATOR: "grpc" };
  return { ...document, node: { ...shown, metadata, locality: Object.fromEntries(locality) } };
}
