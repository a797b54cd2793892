// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import type { Counter } from "../lib/metrics.ts";
import { ipFamily } from "../lib/net/ip-address.ts";
import type { Budgets } from "../model/limits.ts";
import type { DnsConfig } from "./dns-config.ts";
import { OpenQueries, queryResolver } from "./exchange.ts";
import { Forwarder, type ForwarderMetrics, ResolverHealth } from "./forwarder.ts";
import { listenDns } from "./listeners.ts";
import type { Names } from "./names.ts";
import { QueryHandler } from "./query-handler.ts";
import { followResolvers } from "./resolvers.ts";
import { ResponseCache } from "./response-cache.ts";

export interface DnsMetrics extends ForwarderMetrics {
  readonly requests: Counter;
}

export interface DnsProxyDeps extends Deps {
  readonly names: Pick<Names, "lookup">;
  readonly metrics: DnsMetrics;
  readonly budgets: Budgets;
  /** The port of the resolvers. Default 53. */
  readonly resolverPort?: number;
}

/** Serves DNS until it is disposed. */
export interface DnsProxy extends AsyncDisposable {
  /** The addresses that are listened on. */
  readonly hosts: readonly string[];
  readonly port: number;
}

const dnsPort = 53;

/**
 * Responds to queries for names of the mesh, and forwards all others to the resolvers.
 * @throws ResolvConfError, DnsPortError
 */
export async function startDnsProxy(config: DnsConfig, deps: DnsProxyDeps): Promise<DnsProxy> {
  const { log, clock, random, names, metrics, budgets, fail, resolverPort = dnsPort } = deps;
  await using stack = new AsyncDisposableStack();
  const resolvers = stack.use(await followResolvers(config.forward.resolvConfPaths, deps));
  const stop = new AbortController();
  const openQueries = new OpenQueries();
  const sockets = budgets.of("dns-sockets");
  const forwarder = new Forwarder(config.forward, {
    clock,
    metrics,
    health: new ResolverHealth({ clock, random }),
    async queryResolver(host, forwarded, signal) {
      using socket = sockets.take();
      if (socket === undefined) throw sockets.spentError();
      return await queryResolver({ host, port: resolverPort }, forwarded, openQueries, signal);
    },
  });
  const handler = new QueryHandler(
    {
      log,
      clock,
      random,
      openQueries,
      forwarder,
      cache: new ResponseCache({ clock, random, budgets }),
      waiting: budgets.of("dns-queries"),
      memory: budgets.memory,
      lookup: names.lookup,
      beforeTable: config.beforeTable,
      resolvers: () => resolvers.current,
      requests: metrics.requests,
    },
    stop.signal,
  );
  const hosts = listenHosts(config.listen.host, resolvers.current.servers);
  const { port } = config.listen;
  stack.use(await listenDns(hosts, port, handler.handle.bind(handler), { budgets, clock, fail }));
  stack.defer(() => {
    stop.abort(new Error("the DNS proxy shuts down"));
  });
  log.info("DNS proxy listens", { hosts, port });
  const owned = stack.move();
  return { hosts, port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** `localhost` is the loopback address of each family that a resolver has: captured queries are redirected there. */
function listenHosts(host: string, servers: readonly string[]): readonly string[] {
  if (host !== "localhost") return [host];
  const families = new Set(servers.map(ipFamily));
  return [...(families.has(4) || families.size === 0 ? ["127.0.0.1"] : []), ...(families.has(6) ? ["::1"] : [])];
}
