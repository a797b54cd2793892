// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import type { Clock } from "../../lib/async/clock.ts";
import { passedOnEnv } from "../agent-setup.ts";
import type { ProgramCommand } from "../agent-process.ts";
import type { App } from "../apps.ts";
import { type MeshPorts, type WorkloadName, workloadNames } from "../mesh.ts";
import type { PlainAttempt } from "../prove-mtls.ts";
import { apiService, podAddresses, prefixLength, proxyGroup } from "./addresses.ts";
import {
  type CapturedCall,
  type Endpoint,
  parseCapturedCall,
  parsePlainAttempt,
  workloadVariable,
} from "./messages.ts";
import { type DevCaptureError, hasProgram, runSystemProgram, systemPath } from "./programs.ts";
import { WorkloadChannel } from "./workload-channel.ts";
import { forwardConnections } from "./workload-process.ts";

export interface CapturedNetworkOptions {
  readonly program: ProgramCommand;
  readonly env: Readonly<Record<string, string>>;
  /** Of the run; it gets a file. */
  readonly directory: string;
  readonly ports: MeshPorts;
}

/**
 * A network namespace for each workload, a link between the two, and the rules of `attache istio-iptables` in each. They
 * go with the last process in them. Ports are the same numbers on loopback of this machine, so that whoever observes
 * the mesh need not know of the namespaces.
 */
export interface CapturedNetwork extends AsyncDisposable {
  readonly apps: Readonly<Record<WorkloadName, App>>;
  /** A process in each namespace, for `nsenter --target`. */
  readonly pids: Readonly<Record<WorkloadName, number>>;
  /** How an agent is started, so that its traffic is in the workload's namespace and is not captured. */
  agentCommand(workload: WorkloadName): ProgramCommand & { readonly gid: number };
  /** Makes a server of this machine's loopback reachable for a workload, on the same port of its own loopback. */
  offer(workload: WorkloadName, port: number): Promise<void>;
  callApi(path: string): Promise<CapturedCall>;
  /** Resolves, never rejects, when a process of the network ends without having been stopped. */
  readonly ended: Promise<DevCaptureError>;
  /** Plain HTTP to api from web's namespace, past web's Envoy. */
  attemptPlainHttp(): Promise<PlainAttempt>;
}

interface Pod {
  /** Has the group of the proxy, and holds the namespaces. */
  readonly forwarder: WorkloadChannel;
  readonly application: WorkloadChannel;
}

/** @throws DevCaptureError when a step fails; what the steps before it made is gone then */
export async function startCapturedNetwork(options: CapturedNetworkOptions, clock: Clock): Promise<CapturedNetwork> {
  const { program, ports } = options;
  await using stack = new AsyncDisposableStack();
  const seen: Readonly<Record<WorkloadName, string[]>> = { web: [], api: [] };
  const startPod = (workload: WorkloadName): Promise<Pod> =>
    startPodProcesses(options, workload, seen[workload], stack, clock);
  const pods = { web: await startPod("web"), api: await startPod("api") };
  const pids = { web: pods.web.forwarder.pid, api: pods.api.forwarder.pid };
  await linkPods(options, pids);
  await nameApi(options, pids.web);
  await Promise.all(workloadNames.map((workload) => applyRules(options, workload, pids[workload])));
  for (const workload of workloadNames) {
    await pods[workload].application.request({ kind: "start-app", workload, port: ports[workload].app });
    await forwardPorts(pods, workload, ports);
  }
  const owned = stack.move();
  return {
    pids,
    ended: Promise.race([pods.web, pods.api].flatMap((pod) => [pod.forwarder.ended, pod.application.ended])),
    apps: { web: appOf(ports.web.app, seen.web), api: appOf(ports.api.app, seen.api) },
    agentCommand: (workload) => ({
      file: "nsenter",
      args: ["--target", String(pids[workload]), "--net", program.file, ...program.args],
      gid: proxyGroup,
    }),
    async offer(workload, port) {
      const server = await pods[workload].forwarder.listen(port);
      owned.use(forwarding(server, { host: "127.0.0.1", port }));
    },
    callApi: async (path) => parseCapturedCall(await pods.web.application.request({ kind: "call-api", path })),
    async attemptPlainHttp() {
      const to = inboundOfApi(ports);
      return parsePlainAttempt(await pods.web.forwarder.request({ kind: "attempt-plain-http", to }));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Where the other machine of the mesh reaches api's application; what arrives there is captured. */
function inboundOfApi(ports: MeshPorts): Endpoint {
  return { host: podAddresses.api, port: ports.api.app };
}

async function startPodProcesses(
  { program, env }: CapturedNetworkOptions,
  workload: WorkloadName,
  seen: string[],
  stack: AsyncDisposableStack,
  clock: Clock,
): Promise<Pod> {
  const common = {
    env: { ...passedOnEnv(env), PATH: systemPath(env), [workloadVariable]: workload },
    onSeen: (path: string): void => {
      seen.push(path);
      if (seen.length > keptPaths) seen.shift();
    },
  };
  const self = [program.file, ...program.args, "dev"];
  const inNewNamespaces = { ...common, file: "unshare", args: ["--net", "--mount", ...self], gid: proxyGroup };
  const forwarder = stack.use(await WorkloadChannel.start(inNewNamespaces, clock));
  const enter = ["--target", String(forwarder.pid), "--net", "--mount", ...self];
  const application = await WorkloadChannel.start({ ...common, file: "nsenter", args: enter, gid: undefined }, clock);
  return { forwarder, application: stack.use(application) };
}

const keptPaths = 500;

/** The link is made inside the namespaces: this machine's own network is not changed. */
async function linkPods({ env }: CapturedNetworkOptions, pids: Readonly<Record<WorkloadName, number>>): Promise<void> {
  const veth = `link add eth0 type veth peer name eth0 netns ${String(pids.api)}`;
  const own = (workload: WorkloadName): readonly string[] => [
    "link set lo up",
    "link set eth0 up",
    `addr add ${podAddresses[workload]}/${String(prefixLength)} dev eth0`,
  ];
  const commands = { web: [veth, ...own("web"), `route add default via ${podAddresses.api}`], api: own("api") };
  for (const workload of workloadNames) {
    const input = commands[workload].map((command) => `${command}\n`).join("");
    const command = ["nsenter", "--target", String(pids[workload]), "--net", "ip", "-batch", "-"] as const;
    await runSystemProgram(`connect the network namespace of ${workload}`, command, { env, input });
  }
}

/** web's namespace has a file of hosts of its own, in which api has the address of a service. */
async function nameApi({ env, directory }: CapturedNetworkOptions, pid: number): Promise<void> {
  const path = join(directory, "hosts");
  const hosts = await readFile("/etc/hosts", "utf8").catch(() => "127.0.0.1 localhost\n");
  await writeFile(path, `${hosts.trimEnd()}\n${apiService.address} ${apiService.name}\n`, { mode: 0o644 });
  const command = ["nsenter", "--target", String(pid), "--mount", "mount", "--bind", path, "/etc/hosts"] as const;
  await runSystemProgram("give api a name in web's namespace", command, { env });
}

/** web's Envoy has a listener for outbound connections, api's one for inbound connections. */
async function applyRules(
  { program, env, ports }: CapturedNetworkOptions,
  workload: WorkloadName,
  pid: number,
): Promise<void> {
  const envoyPort = String(ports[workload].envoy);
  const captured = { web: ["-p", envoyPort, "-i", "*"], api: ["-z", envoyPort, "-b", "*"] }[workload];
  const nftables = await hasProgram("nft", env);
  const owners = ["-u", String(proxyGroup), "-g", String(proxyGroup)];
  const options = [...owners, ...captured, ...(nftables ? ["--native-nftables"] : [])];
  const enter = ["nsenter", "--target", String(pid), "--net"] as const;
  const command = [...enter, program.file, ...program.args, "istio-iptables", ...options] as const;
  await runSystemProgram(`capture the traffic in the network namespace of ${workload}`, command, {
    env: passedOnEnv(env),
  });
}

/** Ports on loopback of this machine that lead to the same port on loopback of the namespace. */
async function forwardPorts(
  pods: Readonly<Record<WorkloadName, Pod>>,
  workload: WorkloadName,
  ports: MeshPorts,
): Promise<void> {
  const { app, envoy, admin, status, readiness, metrics } = ports[workload];
  const { forwarder } = pods[workload];
  for (const port of [app, admin, status, readiness, metrics])
    await forwarder.request({ kind: "forward", to: { host: "127.0.0.1", port } }, await listenOn(port));
  // api's Envoy as a caller outside its namespace sees it
  const [from, to] =
    workload === "web" ? [forwarder, { host: "127.0.0.1", port: envoy }] : [pods.web.forwarder, inboundOfApi(ports)];
  await from.request({ kind: "forward", to }, await listenOn(envoy));
}

function listenOn(port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      resolve(server);
    });
  });
}

function forwarding(server: Server, to: Endpoint): AsyncDisposable {
  const open = forwardConnections(server, to);
  return {
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The application in its own process, as far as this one sees it. */
function appOf(port: number, seenPaths: readonly string[]): App {
  return { port, seenPaths, [Symbol.asyncDispose]: () => Promise.resolve() };
}
