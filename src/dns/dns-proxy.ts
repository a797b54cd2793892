// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import { ipFamily } from "../lib/net/ip-address.ts";
import type { Counter } from "../lib/metrics.ts";
import { DnsAnswers } from "./query-handler.ts";
import type { DnsConfig } from "./dns-config.ts";
import { askResolver, OwnQuestions } from "./exchange.ts";
import { Forwarder, type ForwarderMetrics } from "./forwarder.ts";
import { listenDns } from "./listeners.ts";
import type { Names } from "./names.ts";
import { ResolverHealth } from "./resolver-health.ts";
import { followResolvers } from "./resolvers.ts";
import { StaleReplies } from "./stale-responses.ts";

export interface DnsMetrics extends ForwarderMetrics {
  readonly requests: Counter;
}

export interface DnsProxyDeps extends Deps {
  readonly names: Pick<Names, "lookup">;
  readonly metrics: DnsMetrics;
  /** Where resolvers listen. Default 53, as resolv.conf has it. */
  readonly resolverPort?: number;
}

/** Answers until it is disposed. */
export interface DnsProxy extends AsyncDisposable {
  /** The addresses that are listened on. */
  readonly hosts: readonly string[];
  readonly port: number;
}

const dnsPort = 53;

/**
 * Answers for the names of the mesh, and passes all other questions on.
 * @throws ResolvConfError, DnsPortError
 */
export async function startDnsProxy(config: DnsConfig, deps: DnsProxyDeps): Promise<DnsProxy> {
  const { log, clock, random, names, metrics, fail, resolverPort = dnsPort } = deps;
  await using stack = new AsyncDisposableStack();
  const resolvers = stack.use(await followResolvers(config.forward.resolvConfPaths, deps));
  const stop = new AbortController();
  const own = new OwnQuestions();
  const forwarder = new Forwarder(config.forward, {
    clock,
    metrics,
    health: new ResolverHealth({ clock, random }),
    ask: (host, forwarded, signal) => askResolver({ host, port: resolverPort }, forwarded, own, signal),
  });
  const answers = new DnsAnswers(
    {
      log,
      clock,
      random,
      own,
      forwarder,
      stale: new StaleReplies(clock),
      lookup: names.lookup,
      beforeTable: config.beforeTable,
      resolvers: () => resolvers.current,
      requests: metrics.requests,
    },
    stop.signal,
  );
  const hosts = listenHosts(config.listen.host, resolvers.current.servers);
  const { port } = config.listen;
  stack.use(await listenDns(hosts, port, answers.answer.bind(answers), fail));
  stack.defer(() => {
    stop.abort(new Error("the DNS proxy ends"));
  });
  log.info("DNS proxy listens", { hosts, port });
  const owned = stack.move();
  return { hosts, port, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** `localhost` is the loopback address of each family that a resolver has: there traffic capture sends questions. */
function listenHosts(host: string, servers: readonly string[]): readonly string[] {
  if (host !== "localhost") return [host];
  const families = new Set(servers.map(ipFamily));
  return [...(families.has(4) || families.size === 0 ? ["127.0.0.1"] : []), ...(families.has(6) ? ["::1"] : [])];
}
