// SPDX-License-Identifier: Apache-2.0
import { createBudgets } from "../lib/budget-set.ts";
import type { AgentError } from "../lib/errors.ts";
import { readHostLimits } from "../lib/host-limits.ts";
import { limits } from "../model/limits.ts";
import { startEmbeddedCa } from "../ca/index.ts";
import type { Clock } from "../lib/async/clock.ts";
import { createLogger, type LogRecord } from "../lib/log/log.ts";
import { loopback } from "../lib/net/http-client.ts";
import { startAdsFeed } from "./ads-feed.ts";
import {
  type AgentProcess,
  type DevAgentEndedError,
  startAgentProcess,
  startParentDeathWatchdog,
} from "./agent-process.ts";
import { type AgentSetup, renderAgentEnv, writeAgentFiles } from "./agent-setup.ts";
import { type App, startApiApp, startWebApp } from "./apps.ts";
import { podAddresses } from "./capture/addresses.ts";
import { type CapturedNetwork, startCapturedNetwork } from "./capture/captured-network.ts";
import type { DevConfig, DevDeps } from "./dev-config.ts";
import { startFileFeed } from "./file-feed.ts";
import {
  assignPorts,
  findFreePorts,
  type MeshAddresses,
  type MeshPorts,
  namespace,
  onLoopback,
  portCount,
  trustDomain,
  type WorkloadName,
  workloadNames,
} from "./mesh.ts";
import type { ResourceFeed } from "./resources.ts";
import type { WorkDirectory } from "./work-directory.ts";

/** Everything that runs: CA, applications, agents and their Envoys. Disposing it stops all of it, agents first. */
export interface RunningMesh extends AsyncDisposable {
  readonly ports: MeshPorts;
  readonly apps: Readonly<Record<WorkloadName, App>>;
  readonly agents: Readonly<Record<WorkloadName, AgentProcess>>;
  /** Only with captured traffic. */
  readonly network: CapturedNetwork | undefined;
  /** Whether the CA of a workload has signed for its SPIFFE ID. */
  hasSigned(workload: WorkloadName, spiffeId: string): boolean;
  /** From now on certificates have a long lifetime. */
  relaxRotation(): void;
  /** Reports the result of each edit of the resources, until the result is disposed. */
  followEdits(say: (text: string) => void, stop: AbortSignal): Promise<AsyncDisposable>;
  /** Resolves, never rejects, when an agent exits without having been stopped, or a process of the network. */
  readonly brokenBy: Promise<AgentError>;
}

export interface MeshStart {
  readonly config: DevConfig;
  readonly directory: WorkDirectory;
  /** Called when the CA listens. */
  readonly onCa: (port: number) => void;
}

/** While the proof waits for a rotation, and afterwards. Agents renew a certificate after 5 % of its lifetime. */
const lifetimesMs = { proof: 60_000, later: 3_600_000 };

/** Starts the CA, then the applications, then both agents, which start their Envoys. */
export async function startMesh(start: MeshStart, { clock }: DevDeps): Promise<RunningMesh> {
  const { config, directory, onCa } = start;
  await using stack = new AsyncDisposableStack();
  let lifetimeMs = lifetimesMs.proof;
  const cas = await startCas(start, (path) => startMeshCa(path, () => lifetimeMs, clock), stack);
  onCa(cas.web.port);
  const { apps, ports, addresses, network } = await startWorkloads(start, clock, stack);
  const feed = stack.use(await startFeed(start, ports, addresses, clock));
  for (const workload of workloadNames) {
    const token = cas[workload].createToken(workload);
    writeAgentFiles(directory.agentPath(workload), { token, rootsPem: cas[workload].rootsPem });
  }
  const startAgent = async (workload: WorkloadName): Promise<AgentProcess> => {
    const resources = feed.sourceOf(workload);
    const caPort = cas[workload].port;
    if (config.fault !== "ca-down") await network?.offer(workload, caPort);
    if (resources.kind === "ads") await network?.offer(workload, resources.port);
    const program = network?.agentCommand(workload) ?? config.program;
    return await startAgentProcess(program, renderAgentSetup(start, workload, { ports, caPort, feed }), clock);
  };
  const web = stack.use(await startAgent("web"));
  const api = stack.use(await startAgent("api"));
  stack.use(await startParentDeathWatchdog([web.pid, api.pid]));
  const owned = stack.move();
  return {
    ports,
    apps,
    agents: { web, api },
    network,
    followEdits: (say, signal) => feed.follow(say, signal),
    hasSigned: (workload, spiffeId) => cas[workload].hasSigned(spiffeId),
    relaxRotation() {
      lifetimeMs = lifetimesMs.later;
    },
    brokenBy: Promise.race([...[web, api].map(untilUnexpectedEnd), ...(network === undefined ? [] : [network.ended])]),
    async [Symbol.asyncDispose]() {
      await Promise.all([web, api].map((agent) => agent[Symbol.asyncDispose]()));
      await owned.disposeAsync();
    },
  };
}

/** One CA for both workloads, or two with `foreign-ca`. With `ca-down` it is stopped at once; its root stays in use. */
async function startCas(
  { config, directory }: MeshStart,
  startCa: (path: string) => Promise<MeshCa>,
  stack: AsyncDisposableStack,
): Promise<Readonly<Record<WorkloadName, MeshCa>>> {
  const ca = stack.use(await startCa(directory.caPath));
  if (config.fault === "ca-down") await ca[Symbol.asyncDispose]();
  if (config.fault !== "foreign-ca") return { web: ca, api: ca };
  return { web: ca, api: stack.use(await startCa(directory.foreignCaPath)) };
}

/** The applications, and where everything listens. */
type Workloads = Pick<RunningMesh, "apps" | "ports" | "network"> & { readonly addresses: MeshAddresses };

async function startWorkloads(
  { config, directory }: MeshStart,
  clock: Clock,
  stack: AsyncDisposableStack,
): Promise<Workloads> {
  if (config.capture !== undefined) {
    const [webApp = 0, apiApp = 0, ...free] = await findFreePorts(2 + portCount);
    const ports = assignPorts(free, { web: webApp, api: apiApp });
    const { program, env } = config;
    const network = stack.use(await startCapturedNetwork({ program, env, directory: directory.path, ports }, clock));
    const addresses = { api: { host: podAddresses.api, port: ports.api.app }, apiInbound: "0.0.0.0" };
    return { apps: network.apps, ports, addresses, network };
  }
  let outboundPort = 0;
  const apps = {
    web: stack.use(await startWebApp((path) => loopback(outboundPort, path), clock)),
    api: stack.use(await startApiApp()),
  };
  const ports = assignPorts(await findFreePorts(portCount), { web: apps.web.port, api: apps.api.port });
  outboundPort = ports.web.envoy;
  return { apps, ports, addresses: onLoopback(ports), network: undefined };
}

function startFeed(
  { config, directory }: MeshStart,
  ports: MeshPorts,
  addresses: MeshAddresses,
  clock: Clock,
): Promise<ResourceFeed> {
  const from = config.resourcesDirectory;
  if (config.delivery === "ads") return startAdsFeed({ from, ports, addresses }, clock);
  return startFileFeed({ from, to: (workload) => directory.resourcesPath(workload), ports, addresses }, clock);
}

interface AgentEnvironment {
  readonly ports: MeshPorts;
  readonly caPort: number;
  readonly feed: ResourceFeed;
}

function renderAgentSetup(
  { config, directory }: MeshStart,
  workload: WorkloadName,
  { ports, caPort, feed }: AgentEnvironment,
): AgentSetup {
  const env = renderAgentEnv({
    workload,
    ports: ports[workload],
    caPort,
    resources: feed.sourceOf(workload),
    envoyPath: config.envoyPath,
    env: config.env,
  });
  return { workload, directory: directory.agentPath(workload), env };
}

/** Never resolves for an agent that was stopped. */
async function untilUnexpectedEnd(agent: AgentProcess): Promise<DevAgentEndedError> {
  const error = await agent.ended;
  return error ?? (await new Promise<never>(() => undefined));
}

/** The CA of a workload. */
interface MeshCa extends AsyncDisposable {
  readonly port: number;
  readonly rootsPem: string;
  createToken(workload: WorkloadName): string;
  /** Whether it has signed for a SPIFFE ID, according to its log. */
  hasSigned(spiffeId: string): boolean;
}

const dayMs = 24 * 3_600_000;
const backdateMs = 60_000;

/**
 * Starts an embedded CA on loopback.
 * @param lifetimeMs the longest lifetime of a certificate; read at each signing
 */
async function startMeshCa(directory: string, lifetimeMs: () => number, clock: Clock): Promise<MeshCa> {
  const signed = new Set<unknown>();
  const record = ({ message, fields }: LogRecord): void => {
    if (message === "certificate signed") signed.add(fields["spiffeId"]);
  };
  const log = createLogger(
    record,
    () => clock.now(),
    () => new Map(),
  );
  const options = {
    directory,
    host: "127.0.0.1",
    port: 0,
    serverNames: [],
    trustDomain,
    audience: "istio-ca",
    defaultTtlMs: dayMs,
    get maxTtlMs() {
      return lifetimeMs();
    },
    backdateMs,
    trustedTokenKeysPem: [],
  };
  const ca = await startEmbeddedCa(options, { log, clock, budgets: createBudgets(limits, readHostLimits()) });
  return {
    port: ca.port,
    rootsPem: ca.rootPem,
    createToken: (serviceAccount) => ca.issueToken({ namespace, serviceAccount, ttlMs: dayMs }),
    hasSigned: (spiffeId) => signed.has(spiffeId),
    [Symbol.asyncDispose]: () => ca[Symbol.asyncDispose](),
  };
}
