// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import { loadKnownVariables } from "../../config/index.ts";
import { isLoopbackAddress } from "../../lib/net/ip-address.ts";
import { readListeningSockets, readSocketInodes } from "../../lib/net/socket-table.ts";
import { objectOf, textOf } from "../../lib/json.ts";
import { readAgentEnvironment } from "./agent-processes.ts";
import { type DoctorContext, type Finding, ok, warn } from "./check.ts";
import { ownPrefixes } from "./environment.ts";
import { isAgent, readProcesses } from "./machine/processes.ts";

type Environment = Readonly<Record<string, string>>;

/** Whose environment is judged. */
export interface JudgedAgent {
  readonly env: Environment;
  /** Of `proxy`; those of this command, if it has any. */
  readonly args: readonly string[];
  readonly directory: string;
  /** Another process than this one, whose environment it is. */
  readonly pid: number | undefined;
  /** The agent that answers may have another environment than this one. */
  readonly isUncertain: boolean;
}

interface Given {
  readonly env: Environment;
  readonly args: readonly string[];
  /** The status port of the agent that is asked. */
  readonly status: { readonly host: string; readonly port: number };
  /** The environment as a person has set it. */
  readonly withoutLauncher: (env: Environment) => Environment;
}

/**
 * A terminal beside an agent need not have its environment: where the process that holds the status port is an agent
 * whose environment this user may read, that one is judged, with its arguments and its directory.
 */
export async function chooseJudgedAgent(given: Given): Promise<JudgedAgent> {
  const { args, status, withoutLauncher } = given;
  const env = withoutLauncher(given.env);
  const own: JudgedAgent = { env, args, directory: process.cwd(), pid: undefined, isUncertain: false };
  if (status.host !== "localhost" && !isLoopbackAddress(status.host)) return own;
  const holder = await findHolder(status.port);
  const agent = holder === undefined ? undefined : await readAgentEnvironment(holder).catch(() => undefined);
  if (agent === undefined) return { ...own, isUncertain: true };
  const itsEnv = withoutLauncher(agent.env);
  const isSame = agent.directory === process.cwd() && (await isSameEnvironment(env, itsEnv));
  return {
    env: itsEnv,
    args: args.length > 0 ? args : agent.args,
    directory: agent.directory,
    pid: isSame ? undefined : agent.pid,
    isUncertain: false,
  };
}

/** The agent that holds a port of this network namespace; undefined if none is seen, such as another user's. */
async function findHolder(port: number): Promise<number | undefined> {
  const sockets = (await readListeningSockets()) ?? [];
  const inodes = new Set(sockets.filter((socket) => socket.port === port).map(({ inode }) => inode));
  if (inodes.size === 0) return undefined;
  for (const { pid } of (await readProcesses(new Set())).filter(isAgent)) {
    const held = await readSocketInodes(pid);
    if ([...inodes].some((inode) => held?.has(inode))) return pid;
  }
  return undefined;
}

/** Only variables that an agent reads count. */
async function isSameEnvironment(one: Environment, other: Environment): Promise<boolean> {
  const known = (await loadKnownVariables()).knownVariables();
  const read = (env: Environment): Environment =>
    Object.fromEntries(
      Object.entries(env).filter(([name]) => known.has(name) || ownPrefixes.some((prefix) => name.startsWith(prefix))),
    );
  return isDeepStrictEqual(read(one), read(other));
}

/** The findings after one about the environment, if that is not this command's or may not be the agent's. */
export function withEnvironment(
  found: readonly Finding[],
  { agent, config }: DoctorContext,
  judged: Pick<JudgedAgent, "pid" | "isUncertain"> | undefined,
): readonly Finding[] {
  if (judged?.pid !== undefined) {
    const fact = `judges the environment of process ${String(judged.pid)}, the agent that runs here, and not that of this shell`;
    return [ok("environment", fact), ...found];
  }
  if (judged?.isUncertain !== true || agent === undefined) return found;
  const node = textOf(objectOf(agent.overview?.["node"])["id"]);
  if (node === config.node.id) return found;
  const whose = node === "" ? "may be another one" : `is another one: it is the node ${node}, not ${config.node.id}`;
  const fact = `this shell's environment is judged, and that of the agent that answers ${whose}`;
  const cure = "Run it in the agent's container, as the agent's user; what does not fit that agent is a warning here.";
  return [warn("environment", fact, cure), ...found.map(withoutFailure)];
}

/** What the agent says itself is true in any environment. */
const ofTheAgent: ReadonlySet<string> = new Set(["agent", "readiness", "certificate"]);

function withoutFailure(finding: Finding): Finding {
  if (finding.outcome !== "fail" || ofTheAgent.has(finding.check)) return finding;
  return { ...finding, outcome: "warn" };
}
