// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from "node:http";
import type { Clock } from "../lib/async/clock.ts";
import { TurnQueue } from "../lib/async/turn-queue.ts";
import type { Deps } from "../lib/deps.ts";
import { systemCode } from "../lib/errors.ts";
import { readPortHolder } from "../lib/net/socket-table.ts";
import type { Budgets } from "../model/limits.ts";
import { Connections } from "./connections.ts";
import { createAppProber } from "./probes/app-prober.ts";
import { ReadinessJudge, type ReadinessVerdict } from "./readiness/readiness-judge.ts";
import { ResponseLimits } from "./response-limits.ts";
import { createRoutes } from "./routes.ts";
import type { StatusConfig } from "./status-config.ts";
import { StatusPortError } from "./status-errors.ts";
import type { StatusSources } from "./status-sources.ts";

export interface StatusServer extends AsyncDisposable {
  /** The port of the server; 0 when it is disabled. */
  readonly port: number;
  /** What a readiness probe would find now. */
  verdict(): Promise<ReadinessVerdict>;
  /** The last verdict, without reading anything. */
  lastReady(): boolean;
  /** Checks until the pod is ready. @throws the signal's reason */
  untilReady(signal: AbortSignal): Promise<void>;
}

/** Envoy keeps connections to this server for up to an hour. Closing one first would now and then lose a probe. */
const keepAliveMs = 65 * 60_000;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
/** A burst of connections must not cost the kubelet's attempt, which would be repeated after a second. */
const backlog = 4_096;

export interface StatusDeps extends Pick<Deps, "log" | "clock" | "fail"> {
  readonly budgets: Budgets;
}

/** Listens and serves. Disposing it cuts off the requests that are being handled. */
export async function startStatusServer(
  config: StatusConfig,
  sources: StatusSources,
  deps: StatusDeps,
): Promise<StatusServer> {
  const log = deps.log.scope("status");
  const judge = new ReadinessJudge(sources, config.readiness, { clock: deps.clock, log });
  const checks: Pick<StatusServer, "verdict" | "untilReady" | "lastReady"> = {
    verdict: () => judge.judge(),
    lastReady: () => judge.lastReady,
    untilReady: (signal) => untilReady(judge, deps.clock, signal),
  };
  if (config.port === 0) {
    log.warn("status server is disabled; the pod cannot become ready");
    return { ...checks, port: 0, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  using stack = new DisposableStack();
  const { clock, budgets } = deps;
  const limits = new ResponseLimits(budgets);
  const prober = stack.use(createAppProber(config, deps));
  const turns = new TurnQueue();
  const routes = stack.use(createRoutes({ config, sources, judge, prober, turns, budgets, limits, log, clock }));
  const connections = stack.use(new Connections({ budgets, limits, clock, turns, isProbe: routes.isProbe }));
  const server = createHttpServer(deps.budgets);
  connections.watch(server, routes.handle);
  const port = await listen(server, config.port);
  server.on("error", deps.fail);
  const close = stack.move();
  return {
    ...checks,
    port,
    async [Symbol.asyncDispose]() {
      close.dispose();
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      });
    },
  };
}

function createHttpServer(budgets: Budgets): Server {
  const server = createServer({
    keepAliveTimeout: keepAliveMs,
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: 5_000,
    maxHeaderSize: budgets.of("status-header-bytes").size,
  });
  // with more, Node.js rejects the request; up to there the response names the limit
  server.maxHeadersCount = 2 * budgets.of("status-headers").size;
  return server;
}

/** More often than any kubelet, so that the time of readiness is exact. */
const checkEveryMs = 100;

async function untilReady(judge: ReadinessJudge, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!(await judge.judge()).ready) await clock.delay(checkEveryMs, signal);
}

/** Listens on all addresses, IPv4 and IPv6 on one socket where the machine has both. */
async function listen(server: Server, port: number): Promise<number> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, backlog }, () => {
        server.removeListener("error", reject);
        resolve();
      });
    });
  } catch (error) {
    const holder = systemCode(error) === "EADDRINUSE" ? await readPortHolder(port) : undefined;
    throw new StatusPortError(port, holder, error);
  }
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}
