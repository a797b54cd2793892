// SPDX-License-Identifier: Apache-2.0
import { createServer, type RequestListener, type Server } from "node:http";
import type { Clock } from "../lib/async/clock.ts";
import { Semaphore } from "../lib/async/semaphore.ts";
import { SerialQueue } from "../lib/async/serial-queue.ts";
import type { Deps } from "../lib/deps.ts";
import { systemCode } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { readPortHolder } from "../lib/net/socket-table.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import { createAppProber } from "./probes/app-prober.ts";
import { ReadinessJudge, type ReadinessVerdict } from "./readiness/readiness-judge.ts";
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
const maxConnections = 1_024;
const maxScrapes = 2;
const repeatWarningMs = 60_000;

/** Listens and serves. Disposing it cuts off the requests that are being handled. */
export async function startStatusServer(
  config: StatusConfig,
  sources: StatusSources,
  deps: Pick<Deps, "log" | "clock" | "fail">,
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
  const { clock } = deps;
  const prober = stack.use(createAppProber(config, deps));
  const scrapes = new Semaphore(maxScrapes);
  const slowRequests = new SerialQueue();
  const slowTurn = (): Promise<void> => slowRequests.run(untilNextTurn);
  const routes = stack.use(createRoutes({ config, sources, judge, prober, scrapes, slowTurn, log, clock }));
  const server = createHttpServer(routes.handle, clock, log);
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

function createHttpServer(handle: RequestListener, clock: Clock, log: Logger): Server {
  const server = createServer({
    keepAliveTimeout: keepAliveMs,
    headersTimeout: headersTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: 5_000,
  });
  let warnedAtMs = Number.NEGATIVE_INFINITY;
  const warn = (): void => {
    if (clock.monotonicMs() - warnedAtMs < repeatWarningMs) return;
    warnedAtMs = clock.monotonicMs();
    log.warn("status server has too many connections; closing some", { maxConnections });
  };
  new ConnectionLimit(maxConnections, warn).watch(server);
  server.on("request", handle);
  // applies when callers on loopback keep all connections busy
  server.maxConnections = maxConnections + 64;
  server.on("drop", warn);
  return server;
}

function untilNextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
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
      server.listen({ port }, () => {
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
