// SPDX-License-Identifier: Apache-2.0
import { type AgentProcess, startAgentProcess } from "./agent-process.ts";
import { type AgentSetup, renderAgentEnv, writeAgentFiles } from "./agent-setup.ts";
import { type App, startApiApp, startWebApp } from "./apps.ts";
import type { DevConfig, DevDeps } from "./dev-config.ts";
import type { DevAgentEndedError } from "./errors.ts";
import { findFreePorts } from "./free-ports.ts";
import { startGuardian } from "./guardian.ts";
import { assignPorts, type MeshPorts, portCount, type WorkloadName, workloadNames } from "./mesh.ts";
import { type MeshCa, startMeshCa } from "./mesh-ca.ts";
import { type ResourceFeed, startResourceFeed } from "./resource-feed.ts";
import type { WorkDirectory } from "./work-directory.ts";

/** Everything that runs: CA, applications, agents and their Envoys. Disposing it ends all, agents first. */
export interface RunningMesh extends AsyncDisposable {
  readonly ports: MeshPorts;
  readonly apps: Readonly<Record<WorkloadName, App>>;
  readonly agents: Readonly<Record<WorkloadName, AgentProcess>>;
  /** Whether the CA of a workload has signed for its SPIFFE ID. */
  hasSigned(workload: WorkloadName, spiffeId: string): boolean;
  /** Certificates issued from now on live long: nobody waits for their rotation any more. */
  relaxRotation(): void;
  /** Tells what became of each edit of the resources, until the result is disposed of. */
  followEdits(say: (text: string) => void, stop: AbortSignal): Promise<AsyncDisposable>;
  /** Resolves, never rejects, when an agent ended by itself. */
  readonly agentEnded: Promise<DevAgentEndedError>;
}

export interface MeshStart {
  readonly config: DevConfig;
  readonly directory: WorkDirectory;
  /** Told when the CA listens. */
  readonly onCa: (port: number) => void;
}

/** While the proof waits for a rotation, and afterwards. Agents replace a certificate when 5 % of this is over. */
const lifetimesMs = { proof: 60_000, later: 3_600_000 };

/** Starts the CA, then the applications, then both agents, which start their Envoys. */
export async function startMesh(start: MeshStart, { clock }: DevDeps): Promise<RunningMesh> {
  const { config, directory, onCa } = start;
  await using stack = new AsyncDisposableStack();
  let lifetimeMs = lifetimesMs.proof;
  const cas = await startCas(start, (path) => startMeshCa(path, () => lifetimeMs, clock), stack);
  onCa(cas.web.port);
  let outboundPort = 0;
  const apps = {
    web: stack.use(await startWebApp(() => outboundPort, clock)),
    api: stack.use(await startApiApp()),
  };
  const ports = assignPorts(await findFreePorts(portCount), { web: apps.web.port, api: apps.api.port });
  outboundPort = ports.web.envoy;
  const feed = stack.use(await startResourceFeed(config, ports, directory, clock));
  for (const workload of workloadNames) {
    const token = cas[workload].createToken(workload);
    writeAgentFiles(directory.agentPath(workload), { token, rootsPem: cas[workload].rootsPem });
  }
  const startAgent = (workload: WorkloadName): Promise<AgentProcess> =>
    startAgentProcess(
      config.program,
      renderAgentSetup(start, workload, { ports, caPort: cas[workload].port, feed }),
      clock,
    );
  const web = stack.use(await startAgent("web"));
  const api = stack.use(await startAgent("api"));
  stack.use(await startGuardian([web.pid, api.pid]));
  const owned = stack.move();
  return {
    ports,
    apps,
    agents: { web, api },
    followEdits: (say, signal) => feed.follow(say, signal),
    hasSigned: (workload, spiffeId) => cas[workload].hasSigned(spiffeId),
    relaxRotation() {
      lifetimeMs = lifetimesMs.later;
    },
    agentEnded: Promise.race([web, api].map(untilEndedByItself)),
    async [Symbol.asyncDispose]() {
      await Promise.all([web, api].map((agent) => agent[Symbol.asyncDispose]()));
      await owned.disposeAsync();
    },
  };
}

/** One CA for both, unless one is to be foreign; one that is to be down is stopped once it has given what agents mount. */
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

interface AgentSurroundings {
  readonly ports: MeshPorts;
  readonly caPort: number;
  readonly feed: ResourceFeed;
}

function renderAgentSetup(
  { config, directory }: MeshStart,
  workload: WorkloadName,
  { ports, caPort, feed }: AgentSurroundings,
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

/** Never resolves for an agent that was asked to end. */
async function untilEndedByItself(agent: AgentProcess): Promise<DevAgentEndedError> {
  const error = await agent.ended;
  return error ?? (await new Promise<never>(() => undefined));
}
