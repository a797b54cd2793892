// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { DnsMetrics, Names } from "../dns/index.ts";
import type { Deps } from "../lib/deps.ts";
import type { NameTable } from "../model/name-table.ts";
import type { Readiness } from "../model/readiness.ts";

export interface DnsStart {
  readonly config: AgentConfig;
  readonly holds: Readiness;
  readonly metrics: DnsMetrics;
}

/** The DNS proxy as other rooms use it. */
export interface DnsRoom extends Pick<Names, "debugTable"> {
  /** Takes the names that the control plane tells. */
  replace(table: NameTable, signal: AbortSignal): Promise<void>;
}

/** In pilot-agent's words. Source: Istio's agent, observed */
const waitsForTable = "istio DNS capture is turned ON and DNS lookup table is not ready yet";

/**
 * Answers DNS, and holds readiness until there is a table of names. Where no control plane can send one, nothing is
 * waited for. What is started goes to `rooms`.
 * @returns undefined when no DNS proxy is wanted
 */
export async function startDns(
  { config: { dns, xds }, holds, metrics }: DnsStart,
  rooms: AsyncDisposableStack,
  deps: Deps,
): Promise<DnsRoom | undefined> {
  if (dns === undefined) return undefined;
  const hold = rooms.use(holds.hold("dns", waitsForTable));
  const { createNames, startDnsProxy } = await import("../dns/index.ts");
  const log = deps.log.scope("dns");
  const names = createNames(dns.domain, deps.clock);
  if (xds.kind === "files") {
    log.warn("configuration comes from files, so no names of the mesh are known; all questions go to the resolvers");
    await names.replace([], new AbortController().signal);
    hold.release();
  }
  rooms.use(await startDnsProxy(dns, { ...deps, log, names, metrics }));
  return {
    debugTable: () => names.debugTable(),
    async replace(table, signal) {
      await names.replace(table, signal);
      hold.release();
      log.info("name table taken over", { services: table.length });
    },
  };
}
