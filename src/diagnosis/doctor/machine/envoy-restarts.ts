// SPDX-License-Identifier: Apache-2.0
import type { EnvoyServerInfo } from "../../../envoy/index.ts";
import { type Finding, ok, warn } from "../check.ts";
import type { Machine } from "./machine.ts";

/** An agent starts its Envoy at once. */
const startsWithinSeconds = 10;

/** Whether the Envoy that runs is the first one of its agent. */
export function restartFindings(
  { restartEpoch }: Pick<EnvoyServerInfo, "restartEpoch">,
  { agent, envoys }: Pick<Machine, "agent" | "envoys">,
): readonly Finding[] {
  const check = "envoy-admin.restarts";
  if (restartEpoch > 0) return [ok(check, `hot restarts so far: ${String(restartEpoch)}`)];
  const [envoy] = envoys;
  const seconds = envoy === undefined || agent === undefined ? 0 : envoy.startedAtSeconds - agent.startedAtSeconds;
  if (seconds < startsWithinSeconds) return [];
  const fact = `Envoy was restarted: it was started ${String(Math.round(seconds))} s after the agent`;
  return [warn(check, fact, "Look in the log why the one before ended; ATTACHE_ENVOY_RESTARTS limits the restarts.")];
}
