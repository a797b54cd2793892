// SPDX-License-Identifier: Apache-2.0
import { Agent, request } from "node:http";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Runs as a process of its own, so that it takes no time from who measures: many clients that ask a status server for
 * everything, some of them badly, until the parent disconnects. Its last message is what came of it.
 */
interface Outcome {
  requests: number;
  /** By status code; 0 for a connection that broke. */
  readonly answers: Record<number, number>;
}

const port = Number(process.argv[2]);
const clients = Number(process.argv[3] ?? 64);
const outcome: Outcome = { requests: 0, answers: {} };
const stop = new AbortController();

interface Ask {
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const odd: readonly Ask[] = [
  { path: "/healthz/ready", headers: { Accept: "application/json" } },
  { path: "/metrics", headers: { Accept: ",;=,application/*;q=x,*/*;q=9" } },
  { path: "/metrics", headers: { Range: "bytes=0-10", "Accept-Encoding": "gzip" } },
  { path: "/metrics", headers: { Accept: "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "zstd" } },
  { path: "/app-health/app/livez", headers: { "User-Agent": "kube-probe/1.34", Range: "bytes=9-1,x" } },
  { path: "/app-health/none/livez", method: "POST" },
  { path: "/quitquitquit" },
  { path: "/drain", method: "HEAD" },
  { path: "/a/../b//c" },
  { path: "/%zz" },
  { path: "/", headers: { Accept: "text/html" } },
];
/** All endpoints but those that profile the agent for a while, which people ask for. */
const everyEndpoint: readonly Ask[] = [
  ...["/healthz/ready", "/healthz/ready?verbose", "/stats/prometheus", "/metrics", "/", "/app-lifecycle/app/prestopz"],
  ...["/app-health/app/livez", "/app-health/app/readyz", "/debug/", "/debug/readiness", "/debug/overview"],
  ...["/debug/certificates", "/debug/xds", "/debug/node", "/debug/config", "/debug/ndsz", "/debug/pprof/cmdline"],
].map((path) => ({ path, headers: { Accept: "*/*" } }));
const controls: readonly Ask[] = ["/quitquitquit", "/drain"].map((path) => {
  return { path, method: "POST", headers: { Accept: "*/*" } };
});
const asks: readonly Ask[] = [...everyEndpoint, ...controls, ...odd];

async function client(number: number): Promise<void> {
  const agent = new Agent({ keepAlive: number % 2 === 0, maxSockets: 1 });
  for (let turn = number; !stop.signal.aborted; turn++) {
    const ask = asks[turn % asks.length];
    if (ask === undefined) break;
    const status = await once(agent, ask);
    outcome.requests++;
    outcome.answers[status] = (outcome.answers[status] ?? 0) + 1;
  }
  agent.destroy();
}

function once(agent: Agent, { path, method = "GET", headers = {} }: Ask): Promise<number> {
  return new Promise((resolve) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers, agent }, (response) => {
      response.on("error", () => resolve(0));
      response.on("end", () => resolve(response.statusCode ?? 0));
      response.resume();
    });
    asked.on("error", () => resolve(0));
    asked.end();
  });
}

/** Asks for everything and reads nothing, or says half a sentence; holds on for a while, then is gone. */
async function badClient(number: number): Promise<void> {
  while (!stop.signal.aborted) {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.pause();
    socket.write(number % 2 === 0 ? "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20) : "GET /healthz/re");
    await pause(500 + 100 * number, undefined, { signal: stop.signal }).catch(() => undefined);
    socket.destroy();
  }
}

const all = Array.from({ length: clients }, (_, number) => (number % 8 === 7 ? badClient(number) : client(number)));
process.once("message", () => {
  stop.abort();
  void Promise.all(all).then(() => {
    process.send?.(outcome);
    process.disconnect?.();
  });
});
