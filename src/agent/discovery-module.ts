// SPDX-License-Identifier: Apache-2.0
import type { CloudTokenConfig } from "../ca/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { Deps } from "../lib/deps.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import type { Readiness, ReadinessHold } from "../model/readiness.ts";
import type { CacheStatus, XdsDeps, XdsProxy } from "../xds/index.ts";
import type { DnsModule } from "./dns-module.ts";
import type { Identity } from "./identity-modules.ts";

export interface DiscoveryStart {
  readonly config: AgentConfig;
  readonly socket: UnixListener | undefined;
  readonly identity: Identity;
  readonly holds: Readiness;
  /** Who wants the names of the mesh; undefined: nobody. */
  readonly dns: Pick<DnsModule, "replace"> | undefined;
}

/**
 * Passes Envoy's configuration on from the control plane. What is started goes to `modules`.
 * @returns undefined when Envoy reads its configuration from files
 */
export async function startDiscovery(
  { config: { envoy, xds }, socket, identity, holds, dns }: DiscoveryStart,
  modules: AsyncDisposableStack,
  deps: Deps,
): Promise<XdsProxy | undefined> {
  if (xds.kind === "files" || socket === undefined) return undefined;
  const { createNameTable, createTrustAnchors, serveXdsProxy } = await import("../xds/index.ts");
  const { xds: messages, xdsUpdates, wasm: modulesLoaded } = identity.metrics.agent;
  const metrics = { ...messages, ...xdsUpdates, ...modulesLoaded };
  const anchors = createTrustAnchors((pems) => {
    identity.setMeshAnchors(pems);
  });
  const nameTypes = dns === undefined ? [] : [createNameTable({ clock: deps.clock, publish: dns.replace })];
  const agentResources = [...nameTypes, ...(xds.proxyConfigOverXds ? [anchors] : [])];
  const log = deps.log.scope("xdsproxy");
  const maxEnvoyStreams = envoy.hotRestart === undefined ? 1 : 2;
  const { wasm } = xds;
  const readToken = await machineToken(xds.cloudToken, deps);
  const onCache = cacheNote(holds);
  return modules.use(
    serveXdsProxy(socket, xds.proxy, {
      ...deps,
      log,
      metrics,
      agentResources,
      readToken,
      wasm,
      maxEnvoyStreams,
      onCache,
    }),
  );
}

/** Undefined where the token is a file. */
async function machineToken(config: CloudTokenConfig | undefined, deps: Deps): Promise<XdsDeps["readToken"]> {
  if (config === undefined) return undefined;
  const { createMachineToken } = await import("../ca/index.ts");
  return createMachineToken(config, deps);
}

/** Readiness reports that the cache serves Envoy, and is not held back by it: old configuration is better than none. */
function cacheNote(holds: Readiness): (cache: CacheStatus | undefined) => void {
  let note: ReadinessHold | undefined;
  return (cache) => {
    note?.release();
    if (cache === undefined) return;
    const detail = `served from cache, saved at ${new Date(cache.savedAtMs).toISOString()}; control plane does not respond`;
    note = holds.note("xds", detail);
  };
}
