// SPDX-License-Identifier: Apache-2.0
import type { CloudTokenConfig } from "../ca/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { DnsMetrics, Names } from "../dns/index.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import type { BeginNameTable } from "../model/name-table.ts";
import type { Readiness, ReadinessHold } from "../model/readiness.ts";
import type { StatusServer } from "../status/index.ts";
import type { CacheStatus, XdsDeps, XdsProxy } from "../xds/index.ts";
import type { Identity } from "./identity.ts";
import type { ModuleMetrics } from "./metrics.ts";
import type { ModuleDeps } from "./types.ts";

/** The DNS proxy as other modules use it. */
export interface DnsProxy {
  /** Starts the next name table of the control plane. Waits until the proxy has started. */
  readonly begin: BeginNameTable;
  /** In pilot-agent's form, in pieces of JSON; undefined before the first table. */
  debugTable(): AsyncIterable<string> | undefined;
  /** Loads the DNS module, and listens. */
  start(metrics: DnsMetrics, deps: ModuleDeps): Promise<void>;
}

/** Source: the text of pilot-agent, observed */
const waitsForTable = "istio DNS capture is turned ON and DNS lookup table is not ready yet";

/**
 * Holds readiness until there is a name table. Without a control plane there never is one, and readiness does not wait.
 * Hold and listeners go to `modules`.
 * @returns undefined where DNS capture is off
 */
export function prepareDns(
  { dns, xds }: AgentConfig,
  holds: Readiness,
  modules: AsyncDisposableStack,
): DnsProxy | undefined {
  if (dns === undefined) return undefined;
  const hold = modules.use(holds.hold("dns", waitsForTable));
  const loaded = Promise.withResolvers<Names>();
  let names: Names | undefined;
  return {
    async begin(signal) {
      const update = await (await orAborted(loaded.promise, signal)).begin(signal);
      return {
        ...update,
        async commit(kept) {
          await update.commit(kept);
          hold.release();
        },
      };
    },
    debugTable: () => names?.debugTable(),
    async start(metrics, deps) {
      const log = deps.log.scope("dns");
      const { createNames, startDnsProxy } = await import("../dns/index.ts");
      names = createNames(dns.domain, { ...deps, log });
      loaded.resolve(names);
      if (xds.kind === "files") {
        log.warn("no control plane: the DNS proxy has no name table and forwards every query");
        using update = await this.begin(new AbortController().signal);
        await update.commit(new Set());
      }
      modules.use(await startDnsProxy(dns, { ...deps, log, names, metrics }));
    },
  };
}

export interface DiscoveryOptions {
  readonly config: AgentConfig;
  readonly socket: UnixListener | undefined;
  readonly identity: Identity;
  readonly metrics: ModuleMetrics;
  readonly holds: Readiness;
  /** The receiver of the name table; undefined does not subscribe to it. */
  readonly dns: Pick<DnsProxy, "begin"> | undefined;
}

/**
 * Proxies Envoy's xDS streams to the control plane. What it starts goes to `modules`.
 * @returns undefined where Envoy reads its configuration from files
 */
export async function startDiscovery(
  { config: { envoy, xds, disableEnvoy }, socket, identity, metrics: moduleMetrics, holds, dns }: DiscoveryOptions,
  modules: AsyncDisposableStack,
  deps: ModuleDeps,
): Promise<XdsProxy | undefined> {
  if (xds.kind === "files" || socket === undefined) return undefined;
  const { createNameTable, createTrustAnchors, serveXdsProxy } = await import("../xds/index.ts");
  const { xds: messages, xdsUpdates, wasm: modulesLoaded } = moduleMetrics.agent;
  const metrics = { ...messages, ...xdsUpdates, ...modulesLoaded };
  const anchors = createTrustAnchors({ ...deps, publish: identity.setMeshAnchors.bind(identity) });
  const nameTypes = dns === undefined ? [] : [createNameTable({ ...deps, begin: dns.begin })];
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
      ...(disableEnvoy ? { client: "xDS client" } : {}),
      onCache,
    }),
  );
}

/** Undefined where the token is a file. */
async function machineToken(config: CloudTokenConfig | undefined, deps: ModuleDeps): Promise<XdsDeps["readToken"]> {
  if (config === undefined) return undefined;
  const { createMachineToken } = await import("../ca/index.ts");
  return createMachineToken(config, deps);
}

/** Shows with readiness that Envoy is served from the cache. Readiness does not depend on it. */
function cacheNote(holds: Readiness): (cache: CacheStatus | undefined) => void {
  let note: ReadinessHold | undefined;
  return (cache) => {
    note?.release();
    if (cache === undefined) return;
    const savedAt = new Date(cache.savedAtMs).toISOString();
    note = holds.note("xds", `served from cache, saved at ${savedAt}; control plane does not respond`);
  };
}

export interface WorkloadHealthOptions {
  readonly config: AgentConfig;
  readonly xds: XdsProxy | undefined;
  readonly status: StatusServer;
}

/**
 * Reports the workload's health to the control plane, where the registration of a virtual machine asks for it. A
 * workload whose Envoy is not ready is unhealthy. What it starts goes to `modules`.
 */
export async function startWorkloadHealth(
  { config, xds, status }: WorkloadHealthOptions,
  modules: AsyncDisposableStack,
  { log, clock, budgets }: ModuleDeps,
): Promise<void> {
  const check = config.xds.kind === "ads" ? config.xds.healthCheck : undefined;
  if (check === undefined || xds === undefined) return;
  const { startHealthChecks } = await import("../xds/index.ts");
  const { checkWorkload } = await import("../status/index.ts");
  const deps = {
    log: log.scope("healthcheck"),
    clock,
    envoyProblem: async () => (await status.verdict()).obstacles.find(({ name }) => name === "envoy")?.detail,
    check: (workload: typeof check, signal: AbortSignal) => checkWorkload(workload, { clock, budgets }, signal),
    report: xds.reportHealth.bind(xds),
  };
  modules.use(startHealthChecks(check, deps));
}
