// SPDX-License-Identifier: Apache-2.0
import { objectsOf, parseJsonObject, textOf } from "../lib/json.ts";
import type { AgentClient } from "./agent-client.ts";

/** A user who types does not wait longer. */
const timeoutMs = 1_000;
const mostNames = 5_000;

/** The names of Envoy's clusters; none where no agent responds in time. */
export async function readClusterNames(agent: AgentClient, signal: AbortSignal): Promise<readonly string[]> {
  try {
    const response = await agent.request({ path: "/debug/envoy/clusters?format=json", timeoutMs }, signal);
    const clusters = objectsOf(parseJsonObject(response.text())?.["cluster_statuses"]);
    const names = clusters.map((cluster) => textOf(cluster["name"])).filter((name) => /^[\x21-\x7e]+$/.test(name));
    return names.slice(0, mostNames);
  } catch {
    return [];
  }
}
