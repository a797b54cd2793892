// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { Deps } from "../lib/deps.ts";
import type { UnixListener } from "../lib/unix-socket.ts";
import type { XdsProxy } from "../xds/index.ts";
import type { RoomMetrics } from "./room-metrics.ts";

/**
 * Passes Envoy's configuration on from the control plane. What is started goes to `rooms`.
 * @returns undefined when Envoy reads its configuration from files
 */
export async function startDiscovery(
  { xds }: AgentConfig,
  socket: UnixListener | undefined,
  rooms: AsyncDisposableStack,
  deps: Deps & { readonly metrics: RoomMetrics },
): Promise<XdsProxy | undefined> {
  if (xds.kind === "files" || socket === undefined) return undefined;
  const { createXdsMetrics, serveXdsProxy } = await import("../xds/index.ts");
  const log = deps.log.scope("xdsproxy");
  const metrics = { ...createXdsMetrics(), ...deps.metrics.agent.xds };
  return rooms.use(serveXdsProxy(socket, xds.proxy, { ...deps, log, metrics, ownTypes: [] }));
}
