// SPDX-License-Identifier: Apache-2.0
import { basename, resolve } from "node:path";
import { isLoopbackAddress } from "../../../lib/net/ip-address.ts";
import { readListeningSockets, readSocketInodes } from "../../../lib/net/socket-table.ts";
import type { DoctorContext } from "../check.ts";
import { isAgent, type ProcessFacts, readProcesses, readUser, readWorkingDirectory, type User } from "./processes.ts";

/** The processes that the checks of the machine are about. */
export interface Machine {
  /** Whether an agent runs: it responds, or its process is there. */
  readonly isRunning: boolean;
  /** Undefined where none is seen: it may be in another process namespace. */
  readonly agent: ProcessFacts | undefined;
  /** The agent's Envoys: during a hot restart there are two. */
  readonly envoys: readonly ProcessFacts[];
  /** The user of the agent that runs, or of the one that would be started here: this process's. */
  readonly user: User;
  /** False where an agent runs whose process cannot be seen. */
  readonly isUserKnown: boolean;
  readonly envoyUser: User;
  /** The working directory of the agent, to which the paths of its configuration are relative. */
  readonly directory: string;
}

/** Read once for all checks of a run. */
const machines = new WeakMap<DoctorContext, Promise<Machine>>();

export function machineOf(context: DoctorContext): Promise<Machine> {
  const machine = machines.get(context) ?? readMachine(context);
  machines.set(context, machine);
  return machine;
}

/** The path of a setting, as the agent opens it. */
export function agentPath({ directory }: Pick<Machine, "directory">, path: string): string {
  return resolve(directory, path);
}

async function readMachine(context: DoctorContext): Promise<Machine> {
  const { config } = context;
  const envoyName = basename(config.envoy.binaryPath).slice(0, 15);
  const processes = await readProcesses(new Set([envoyName, "envoy"]));
  const isAnswering = context.agent !== undefined && isOfThisMachine(context.agent.address);
  const agent = await findAgent(processes.filter(isAgent), config.status.port, isAnswering);
  const envoys = processes.filter(
    ({ parentPid, name }) => parentPid === agent?.pid && (name === envoyName || name === "envoy"),
  );
  const self = (await readUser("self")) ?? { uid: process.geteuid?.() ?? 0, gids: [process.getegid?.() ?? 0] };
  const user = agent === undefined ? self : ((await readUser(agent.pid)) ?? self);
  const given = config.envoy.user;
  return {
    isRunning: isAnswering || agent !== undefined,
    agent,
    envoys,
    user,
    isUserKnown: !isAnswering || agent !== undefined,
    envoyUser: given === undefined ? user : { uid: given.uid, gids: [given.gid] },
    directory: (agent === undefined ? undefined : await readWorkingDirectory(agent.pid)) ?? process.cwd(),
  };
}

/** A port that is forwarded here is another machine's, if it is not the configured one. */
function isOfThisMachine({ host }: { readonly host: string }): boolean {
  return host === "localhost" || isLoopbackAddress(host);
}

/**
 * The agent of this configuration: it listens on the status port, or has this working directory, or is process 1. Of
 * another user's processes neither can be seen; then it is the only one, if one answers.
 */
async function findAgent(
  agents: readonly ProcessFacts[],
  statusPort: number,
  isAnswering: boolean,
): Promise<ProcessFacts | undefined> {
  if (agents.length === 0) return undefined;
  const sockets = (await readListeningSockets()) ?? [];
  const inodes = new Set(sockets.filter(({ port }) => port === statusPort).map(({ inode }) => inode));
  for (const agent of agents) {
    const held = await readSocketInodes(agent.pid);
    if ([...inodes].some((inode) => held?.has(inode))) return agent;
  }
  for (const agent of agents) {
    if ((await readWorkingDirectory(agent.pid)) === process.cwd()) return agent;
  }
  const [only] = isAnswering && agents.length === 1 ? agents : agents.filter(({ pid }) => pid === 1);
  return only;
}
