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
import { installResources, placeholdersOf } from "./resources.ts";
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
  for (const workload of workloadNames) {
    const resources = directory.resourcesPath(workload);
    await installResources(config.resourcesDirectory, resources, workload, placeholdersOf(ports, resources));
    const token = cas[workload].createToken(workload);
    writeAgentFiles(directory.agentPath(workload), { token, rootsPem: cas[workload].rootsPem });
  }
  const startAgent = (workload: WorkloadName): Promise<AgentProcess> =>
    startAgentProcess(config.program, renderAgentSetup(start, workload, ports, cas[workload].port), clock);
  const web = stack.use(await startAgent("web"));
  const api = stack.use(await startAgent("api"));
  stack.use(await startGuardian([web.pid, api.pid]));
  const owned = stack.move();
  return {
    ports,
    apps,
    agents: { web, api },
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

function renderAgentSetup(start: MeshStart, workload: WorkloadName, ports: MeshPorts, caPort: number): AgentSetup {
  const { config, directory } = start;
  const env = renderAgentEnv({
    workload,
    ports: ports[workload],
    caPort,
    resourcesDirectory: directory.resourcesPath(workload),
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
