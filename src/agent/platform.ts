// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { deadline } from "../lib/async/clock.ts";
import type { Deps } from "../lib/deps.ts";
import { withPlatform } from "./with-platform.ts";

type PlatformDeps = Pick<Deps, "clock" | "log">;

/**
 * The configuration with what the cloud tells about the machine, where the node's locality depends on it; waits only
 * then, and not longer than the configuration says.
 */
export async function awaitPlatform(config: AgentConfig, deps: PlatformDeps, stop: AbortSignal): Promise<AgentConfig> {
  if (!config.platform.localityNeeded) return config;
  using limit = deadline(deps.clock, config.platform.waitMs, stop);
  const { lookUpPlatform } = await import("../platform/index.ts");
  const facts = await lookUpPlatform(config.platform, deps, limit.signal);
  if (facts === undefined) {
    deps.log.warn("the platform has not told the locality in time; Envoy starts without it", {
      platform: config.platform.kind,
      waitedMs: config.platform.waitMs,
    });
    return config;
  }
  return withPlatform(config, facts);
}

/** Asks in the background, for the log, where nothing waits for the answer. */
export async function tellPlatform({ platform }: AgentConfig, deps: PlatformDeps, stop: AbortSignal): Promise<void> {
  if (platform.kind === "none" || platform.localityNeeded) return;
  const { lookUpPlatform } = await import("../platform/index.ts");
  const facts = await lookUpPlatform(platform, deps, stop);
  if (facts !== undefined) deps.log.info("the platform is known", { ...facts.metadata });
}
