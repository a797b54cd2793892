// SPDX-License-Identifier: Apache-2.0
// One pod under attack, in a network of its own with the address 10.77.0.2. Prints its figures as JSON.
import { fork } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { startFakeCa } from "../../test/fakes/fake-ca.ts";
import { makeMemoryGroup } from "../../test/support/control-group.ts";
import { type PodExit, startPod } from "../../test/support/pod.ts";
import { percentile } from "../../test/support/prober.ts";
import { privateMegabytes } from "./processes.ts";
import type { Figure } from "./figure.ts";
import type { GoodResources, HostileApplication } from "./hostile-application.ts";
import type { HostileLoad, HostileTarget } from "./hostile-load.ts";
import type { HostileSockets } from "./hostile-sockets.ts";

const seconds = Number(process.argv[2]);
const memoryLimitBytes = Number(process.argv[3] ?? 64) * 2 ** 20;
const dnsPort = 15_053;
const hangingPath = "/app-health/hanging/livez";
const probePath = "/app-health/web/livez";

/** The time after which the kubelet gives up, and a mark. */
const failedMs = 1_000;

async function serve(stack: AsyncDisposableStack, handler: RequestListener): Promise<number> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  stack.defer(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

interface StartedApplication extends HostileApplication {
  serve(resources: GoodResources): void;
}

/** In a process of its own: what it does must not delay the probes of this one. */
async function startHostileApplication(stack: AsyncDisposableStack): Promise<StartedApplication> {
  const child = fork(join(import.meta.dirname, "hostile-application.ts"), { execArgv: [] });
  stack.defer(() => void child.kill("SIGKILL"));
  const [ports] = (await once(child, "message")) as [HostileApplication];
  return { ...ports, serve: (resources) => void child.send(resources) };
}

/** A server that does nothing but respond: what it needs under the same load is the machine's part. */
async function startReference(stack: AsyncDisposableStack): Promise<number> {
  const child = fork(join(import.meta.dirname, "idle-server.ts"), { execArgv: [] });
  stack.defer(() => void child.kill("SIGKILL"));
  const [port] = (await once(child, "message")) as [number];
  return port;
}

interface Attackers {
  /** Resolves when all have ended, to how often each attack was made. */
  readonly ended: Promise<HostileLoad>;
  kill(): void;
}

/** @param programs and the argument of each */
function startAttackers(programs: Readonly<Record<string, HostileTarget | HostileSockets>>): Attackers {
  const children = Object.entries(programs).map(([program, argument]) =>
    // in sessions of their own: on other machines, they would not share the pod's part of the processors
    fork(join(import.meta.dirname, program), [JSON.stringify(argument)], { execArgv: [], detached: true }),
  );
  const ended = children.map(async (child) => {
    const exited = once(child, "exit");
    let made: HostileLoad = {};
    child.once("message", (message: HostileLoad) => {
      made = message;
    });
    await exited;
    return made;
  });
  return {
    ended: Promise.all(ended).then((all) => Object.assign({}, ...all) as HostileLoad),
    kill: () => {
      for (const child of children) child.kill("SIGKILL");
    },
  };
}

/** @returns what each request took, ascending; `failedMs` for one that failed */
async function ask(host: string, port: number, path: string, everyMs: number, until: AbortSignal): Promise<number[]> {
  const durations: number[] = [];
  while (!until.aborted) {
    const startMs = performance.now();
    const isGood = await new Promise<boolean>((resolve) => {
      const socket = connect({ host, port });
      socket.setTimeout(1_000, () => socket.destroy());
      socket.on("error", () => undefined).once("close", () => resolve(false));
      socket.once("data", (text: Buffer) => {
        resolve(text.toString("latin1", 9, 12) === "200");
        socket.destroy();
      });
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    });
    durations.push(isGood ? performance.now() - startMs : failedMs);
    await pause(Math.max(0, everyMs - (performance.now() - startMs)));
  }
  return durations.sort((a, b) => a - b);
}

function ratioOfP99(measured: readonly number[], reference: readonly number[]): number {
  return percentile(measured, 0.99) / percentile(reference, 0.99);
}

async function measure(): Promise<readonly Figure[]> {
  await using stack = new AsyncDisposableStack();
  const ca = stack.use(await startFakeCa());
  const app = await serve(stack, (_request, response) => response.end("ok"));
  const application = await startHostileApplication(stack);
  const referencePort = await startReference(stack);
  const group = makeMemoryGroup(memoryLimitBytes);
  if (group !== undefined) stack.use(group);
  const pod = stack.use(
    await startPod({
      ca,
      launcher: [...(group?.launcher ?? []), "prlimit", "--nofile=1024:1024"],
      env: {
        INSTANCE_IP: "127.0.0.1",
        ISTIO_KUBE_APP_PROBERS: JSON.stringify({
          [probePath]: { httpGet: { path: "/", port: app }, timeoutSeconds: 5 },
          [hangingPath]: { httpGet: { path: "/", port: application.hanging }, timeoutSeconds: 5 },
        }),
        ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", port: String(application.bad), path: "/" }),
        ISTIO_META_DNS_CAPTURE: "true",
        ATTACHE_RESOLV_CONF: "resolv.conf",
        ATTACHE_XDS_FILES: "",
      },
      proxyConfig: {
        discoveryAddress: `127.0.0.1:${String(application.controlPlane)}`,
        controlPlaneAuthPolicy: "NONE",
      },
      prepare: ({ directory, ports }) => {
        writeFileSync(join(directory, "resolv.conf"), "nameserver 10.77.0.9\n");
        application.serve({ inboundPort: ports.inbound, appPort: app });
      },
    }),
  );
  await pod.untilReady(30_000);
  const { status, inbound } = pod.ports;
  const idle = await ask("127.0.0.1", inbound, "/", 20, AbortSignal.timeout(3_000));
  const logBefore = pod.log().length;
  const attackers = startAttackers({
    "hostile-load.ts": { statusPort: status, dnsPort, probePath, hangingPath, seconds },
    "hostile-sockets.ts": {
      sdsPath: join(pod.directory, "var/run/secrets/workload-spiffe-uds/socket"),
      xdsPath: join(pod.directory, "etc/istio/proxy/XDS"),
      dnsPort,
      seconds,
    },
  });
  const over = new AbortController();
  void attackers.ended.then(() => {
    over.abort();
  });
  let peakMb = 0;
  let exit: PodExit | undefined;
  void pod.exited.then((ended) => {
    if (over.signal.aborted) return;
    exit = ended;
    process.stderr.write(`the agent ended: ${JSON.stringify(ended)}\n${pod.log().slice(-2_000)}\n`);
    attackers.kill();
  });
  const watch = setInterval(() => {
    if (exit !== undefined || over.signal.aborted) return;
    try {
      peakMb = Math.max(peakMb, privateMegabytes(pod.pid));
    } catch {
      // it has just ended
    }
  }, 200);
  const [ready, reference, probed, traffic] = await Promise.all([
    ask("127.0.0.1", status, "/healthz/ready", 100, over.signal),
    ask("127.0.0.1", referencePort, "/", 100, over.signal),
    ask("127.0.0.1", status, probePath, 100, over.signal),
    ask("127.0.0.1", inbound, "/", 20, over.signal),
  ]);
  clearInterval(watch);
  if (exit !== undefined) return [{ name: "the agent ended", value: 1, unit: "", limit: 0 }];
  const attacks = await attackers.ended;
  const failed = (all: readonly number[]): number => all.filter((ms) => ms === failedMs).length;
  const idleP99 = percentile(idle, 0.99);
  return [
    ...Object.entries(attacks).map(([attack, count]) => ({ name: `load: ${attack}`, value: count, unit: "times" })),
    // each attack is made, or the bench says nothing
    { name: "attacks that were not made", value: 27 - Object.keys(attacks).length, unit: "", limit: 0 },
    { name: "readiness probes", value: ready.length, unit: "" },
    { name: "readiness probes that failed", value: failed(ready), unit: "", limit: 0 },
    { name: "readiness probe: p50", value: percentile(ready, 0.5), unit: "ms" },
    { name: "readiness probe: p99", value: percentile(ready, 0.99), unit: "ms" },
    { name: "idle server beside: requests that failed", value: failed(reference), unit: "" },
    { name: "idle server beside: p99", value: percentile(reference, 0.99), unit: "ms" },
    { name: "readiness probe: p99, idle server = 1", value: ratioOfP99(ready, reference), unit: "times" },
    { name: "application probe: p99", value: percentile(probed, 0.99), unit: "ms" },
    { name: "application probe: p99, idle server = 1", value: ratioOfP99(probed, reference), unit: "times" },
    { name: "application probes that failed", value: failed(probed), unit: "", limit: 0 },
    { name: "requests through Envoy that failed", value: failed(traffic), unit: "", limit: 0 },
    { name: "through Envoy, idle: p99", value: idleP99, unit: "ms" },
    { name: "through Envoy, under attack: p99", value: percentile(traffic, 0.99), unit: "ms", limit: 3 * idleP99 + 20 },
    { name: "log", value: (pod.log().length - logBefore) / 1e6, unit: "MB", limit: 1 },
    { name: "private memory of the agent, peak", value: peakMb, unit: "MB", limit: memoryLimitBytes / 1e6 },
    { name: "memory limit was set", value: group === undefined ? 0 : 1, unit: "" },
    { name: "Envoys that ended", value: pod.envoyPids().length > 0 ? 0 : 1, unit: "", limit: 0 },
  ];
}

process.stdout.write(`${JSON.stringify(await measure())}\n`);
