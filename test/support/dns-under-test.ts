// SPDX-License-Identifier: Apache-2.0
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MemoryGuard, unlimitedMemory } from "../../src/lib/memory-guard.ts";
import { createNames, type DnsConfig, type Names, startDnsProxy } from "../../src/dns/index.ts";
import type { LogRecord } from "../../src/lib/log/log.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import type { AgentMetrics } from "../../src/metrics/index.ts";
import type { BudgetName, Budgets } from "../../src/model/limits.ts";
import type { NamedService } from "../../src/model/name-table.ts";
import { createTestMetrics } from "./agent-metrics.ts";
import { testBudgets } from "./budgets.ts";
import type { DnsServerAddress } from "./dns-client.ts";
import { freePorts } from "./free-ports.ts";
import { replaceNames } from "./name-tables.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { testLog } from "./test-log.ts";

export interface DnsUnderTest extends AsyncDisposable {
  /** The first address that is listened on. */
  readonly address: DnsServerAddress;
  readonly hosts: readonly string[];
  readonly names: Names;
  readonly records: readonly LogRecord[];
  readonly metrics: AgentMetrics["dns"];
  readonly failures: readonly unknown[];
  readonly budgets: Budgets;
  /** Replaces resolv.conf. */
  writeResolvConf(text: string): void;
  removeResolvConf(): void;
}

export interface DnsUnderTestOptions {
  /** In place of those of the table. */
  readonly sizes?: Partial<Record<BudgetName, number>>;
  /** Undefined: none has come yet. */
  readonly table?: readonly NamedService[];
  /** Addresses; all listen at the same port. */
  readonly resolvers?: readonly DnsServerAddress[];
  readonly listen?: Partial<DnsConfig["listen"]>;
  readonly beforeTable?: DnsConfig["beforeTable"];
  readonly parallel?: boolean;
  readonly timeoutMs?: number;
  /** Names the proxy itself as resolver. */
  readonly ownResolver?: boolean;
  /** Default: memory is never short. */
  readonly memory?: MemoryGuard;
}

export const searchLine = "search ns1.svc.cluster.local svc.cluster.local cluster.local\n";

export function resolvConf(resolvers: readonly DnsServerAddress[]): string {
  return resolvers.map(({ host }) => `nameserver ${host}\n`).join("") + searchLine;
}

/** The DNS proxy of a pod in namespace ns1, on a port of its own. */
export async function startDns(options: DnsUnderTestOptions = {}): Promise<DnsUnderTest> {
  const { table, resolvers = [], beforeTable = "wait" } = options;
  const [port = 0] = await freePorts(1);
  const listen = { host: "127.0.0.1", port, ...options.listen };
  await using stack = new AsyncDisposableStack();
  const { path } = stack.use(await temporaryDirectory());
  const file = join(path, "resolv.conf");
  const writeResolvConf = (text: string): void => {
    writeFileSync(file, text);
  };
  writeResolvConf(resolvConf(options.ownResolver === true ? [listen] : resolvers));
  const { log, records } = testLog();
  const domain = { namespace: "ns1", domain: "svc.cluster.local" };
  const { memory = unlimitedMemory } = options;
  const budgets = { ...testBudgets(options.sizes), memory };
  const names = createNames(domain, { clock: systemClock, log, random: Math.random, budgets });
  if (table !== undefined) await replaceNames(names, table);
  const metrics = createTestMetrics().dns;
  const failures: unknown[] = [];
  const { parallel = false, timeoutMs = 1_000 } = options;
  const config = { listen, domain, beforeTable, forward: { resolvConfPaths: [file], parallel, timeoutMs } };
  const proxy = stack.use(
    await startDnsProxy(config, {
      log,
      clock: systemClock,
      random: Math.random,
      fail: (error) => failures.push(error),
      names,
      metrics,
      budgets,
      resolverPort: resolvers[0]?.port ?? port,
    }),
  );
  const [host = ""] = proxy.hosts;
  const owned = stack.move();
  return {
    address: { host, port: proxy.port },
    hosts: proxy.hosts,
    names,
    records,
    metrics,
    failures,
    budgets,
    writeResolvConf,
    removeResolvConf: () => {
      rmSync(file);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
