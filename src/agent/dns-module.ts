// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { DnsMetrics, Names } from "../dns/index.ts";
import type { Deps } from "../lib/deps.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { NameTable } from "../model/name-table.ts";
import type { Readiness } from "../model/readiness.ts";

/** The DNS proxy as other modules use it. */
export interface DnsModule {
  /** Takes the names that the control plane tells; a table that comes before the start waits for it. */
  replace(table: NameTable, signal: AbortSignal): Promise<void>;
  /** As pilot-agent shows it; undefined before the first table. */
  debugTable(): unknown;
  /** Loads what answers DNS, and listens. */
  start(metrics: DnsMetrics, deps: Deps): Promise<void>;
}

/** In pilot-agent's words. Source: Istio's agent, observed */
const waitsForTable = "istio DNS capture is turned ON and DNS lookup table is not ready yet";

/**
 * Holds readiness until there is a table of names. Where no control plane can send one, nothing is waited for. Hold
 * and listeners go to `modules`.
 * @returns undefined when no DNS proxy is wanted
 */
export function prepareDns(
  { dns, xds }: AgentConfig,
  holds: Readiness,
  modules: AsyncDisposableStack,
): DnsModule | undefined {
  if (dns === undefined) return undefined;
  const hold = modules.use(holds.hold("dns", waitsForTable));
  const loaded = Promise.withResolvers<Names>();
  let names: Names | undefined;
  return {
    async replace(table, signal) {
      await (await orAborted(loaded.promise, signal)).replace(table, signal);
      hold.release();
    },
    debugTable: () => names?.debugTable(),
    async start(metrics, deps) {
      const log = deps.log.scope("dns");
      const { createNames, startDnsProxy } = await import("../dns/index.ts");
      names = createNames(dns.domain, { ...deps, log });
      loaded.resolve(names);
      if (xds.kind === "files") {
        log.warn(
          "configuration comes from files, so no names of the mesh are known; all questions go to the resolvers",
        );
        await this.replace([], new AbortController().signal);
      }
      modules.use(await startDnsProxy(dns, { ...deps, log, names, metrics }));
    },
  };
}
