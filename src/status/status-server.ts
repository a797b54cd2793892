// SPDX-License-Identifier: Apache-2.0
import { createServer, type RequestListener, type Server } from "node:http";
import type { Clock } from "../lib/async/clock.ts";
import type { Deps } from "../lib/deps.ts";
import { systemCode } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { readPortHolder } from "../lib/net/port-holder.ts";
import { createAppProber } from "./app-probe.ts";
import { ConnectionLimit } from "./connection-limit.ts";
import { Permits } from "./permits.ts";
import { ProbeRecord } from "./probe-record.ts";
import { ReadinessJudge, type ReadinessVerdict } from "./readiness-judge.ts";
import { createRoutes } from "./routes.ts";
import type { StatusConfig } from "./status-config.ts";
import { Turns } from "./turns.ts";
import { StatusPortError } from "./status-errors.ts";
import type { StatusSources } from "./status-sources.ts";

export interface StatusServer extends AsyncDisposable {
  /** The port that is listened on; 0 when the server is turned off. */
  readonly port: number;
  /** What the kubelet would be told now. */
  verdict(): Promise<ReadinessVerdict>;
  /** Whether the last look passed; nobody is asked. */
  lastReady(): boolean;
  /** Looks again and again until the pod is ready for the first time. @throws the signal's reason */
  untilReady(signal: AbortSignal): Promise<void>;
}

/** Envoy keeps connections to this server for up to an hour; to close one first would lose a probe now and then. */
const keepAliveMs = 65 * 60_000;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
const maxConnections = 1_024;
const maxScrapes = 2;
const repeatWarningMs = 60_000;

/** Listens and serves. Requests that are being answered when it is disposed are cut off. */
export async function startStatusServer(
  config: StatusConfig,
  sources: StatusSources,
  deps: Pick<Deps, "log" | "clock" | "fail">,
): Promise<StatusServer> {
  const log = deps.log.scope("status");
  const judge = new ReadinessJudge(sources, config.readiness, { clock: deps.clock, log });
  const look: Pick<StatusServer, "verdict" | "untilReady" | "lastReady"> = {
    verdict: () => judge.judge(),
    lastReady: () => judge.lastReady,
    untilReady: (signal) => untilReady(judge, deps.clock, signal),
  };
  if (config.port === 0) {
    log.warn("status server is turned off, so nothing can see this pod as ready");
    return { ...look, port: 0, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  using stack = new DisposableStack();
  const prober = stack.use(createAppProber(config, deps));
  const probeRecord = new ProbeRecord();
  const permits = new Permits(maxScrapes);
  const turns = new Turns();
  const { clock } = deps;
  const routes = stack.use(createRoutes({ config, sources, judge, prober, probeRecord, permits, turns, log, clock }));
  const server = createHttpServer(routes.handle, clock, log);
  const port = await listen(server, config.port);
  server.on("error", deps.fail);
  const close = stack.move();
  return {
    ...look,
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
  let toldAtMs = Number.NEGATIVE_INFINITY;
  const tell = (): void => {
    if (clock.monotonicMs() - toldAtMs < repeatWarningMs) return;
    toldAtMs = clock.monotonicMs();
    log.warn("status server has too many connections, some are closed", { maxConnections });
  };
  new ConnectionLimit(maxConnections, tell).watch(server);
  server.on("request", handle);
  // when those on loopback keep all of them busy
  server.maxConnections = maxConnections + 64;
  server.on("drop", tell);
  return server;
}

/** Faster than any kubelet, so that the time of being ready is known whoever asks. */
const lookEveryMs = 100;

async function untilReady(judge: ReadinessJudge, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!(await judge.judge()).ready) await clock.delay(lookEveryMs, signal);
}

/** All addresses, IPv4 and IPv6 on one socket where the machine has both. */
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
