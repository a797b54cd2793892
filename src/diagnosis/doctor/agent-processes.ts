// SPDX-License-Identifier: Apache-2.0
import { readFile, readlink } from "node:fs/promises";
import { AgentError } from "../../lib/errors.ts";
import { exitCode } from "../../lib/exit-code.ts";
import { isAgent, readProcess, readProcesses, readWorkingDirectory } from "./machine/processes.ts";

/** An agent that runs on this machine. */
export interface AgentProcess {
  readonly pid: number;
  readonly directory: string;
  /** The arguments after `proxy`. */
  readonly args: readonly string[];
}

/** An agent among those that run. */
export interface FoundAgent extends AgentProcess {
  /** Whether it has the network and the mounts of this process. */
  readonly isHere: boolean;
}

/** What a running agent was started with. */
export interface AgentEnvironment extends AgentProcess {
  readonly env: Readonly<Record<string, string>>;
}

/** The process with a given ID is no agent that can be examined from here. */
export class AgentProcessError extends AgentError {
  readonly code = "AGENT_DOCTOR_PROCESS";
  override readonly exitCode = exitCode.configuration;
  readonly problem: string;
  constructor(pid: number, problem: string) {
    super(`--pid ${String(pid)}: ${problem}`);
    this.problem = problem;
  }
}

/** The agents of this user, or for root of every user; those that `--pid` can examine from here come first. */
export async function findAgents(): Promise<readonly FoundAgent[]> {
  const agents = (await readProcesses(new Set())).filter(isAgent);
  const found = await Promise.all(
    agents.map(async ({ pid, args }) => {
      const directory = await readWorkingDirectory(pid);
      if (directory === undefined) return [];
      return [{ pid, directory, args: argsAfterProxy(args), isHere: await isInNamespacesOf(pid) }];
    }),
  );
  const all = found.flat();
  return [...all.filter(({ isHere }) => isHere), ...all.filter(({ isHere }) => !isHere)];
}

/** The arguments of the one agent that runs in a directory, such as that of a container; undefined without one. */
export async function argsOfAgentIn(directory: string): Promise<readonly string[] | undefined> {
  const [only, ...others] = (await findAgents()).filter((agent) => agent.directory === directory);
  return others.length > 0 ? undefined : only?.args;
}

function argsAfterProxy(words: readonly string[]): readonly string[] {
  return words.slice(words.indexOf("proxy") + 1);
}

/**
 * Reads what an agent was started with.
 * @throws AgentProcessError when there is no such agent, or when it is another user's or another container's
 */
export async function readAgentEnvironment(pid: number): Promise<AgentEnvironment> {
  const process = await readProcess(pid);
  if (process === undefined || !isAgent(process)) {
    throw new AgentProcessError(pid, "no agent runs with this process ID; attache doctor lists those that do");
  }
  for (const [kind, text] of namespaces) {
    if (await isNamespaceOf(pid, kind)) continue;
    const how = `run attache doctor there, for example with kubectl exec or nsenter --target ${String(pid)}`;
    throw new AgentProcessError(pid, `the agent has ${text} of its own, or is another user's; ${how}`);
  }
  const directory = await readWorkingDirectory(pid);
  const environment = await readFile(`/proc/${String(pid)}/environ`, "utf8").catch(() => undefined);
  if (directory === undefined || environment === undefined) {
    throw new AgentProcessError(pid, "the agent is another user's; run the command as that user");
  }
  return { pid, directory, args: argsAfterProxy(process.args), env: parseEnvironment(environment) };
}

const namespaces = [
  ["mnt", "mounts"],
  ["net", "a network namespace"],
] as const;

async function isInNamespacesOf(pid: number): Promise<boolean> {
  const same = await Promise.all(namespaces.map(([kind]) => isNamespaceOf(pid, kind)));
  return same.every(Boolean);
}

async function isNamespaceOf(pid: number, kind: string): Promise<boolean> {
  const [own, other] = await Promise.all([readNamespace("self", kind), readNamespace(String(pid), kind)]);
  return own === other;
}

async function readNamespace(pid: string, kind: string): Promise<string> {
  return await readlink(`/proc/${pid}/ns/${kind}`).catch(() => "");
}

function parseEnvironment(text: string): Readonly<Record<string, string>> {
  const pairs = text
    .split("\0")
    .filter((word) => word.includes("="))
    .map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)] as const);
  return Object.fromEntries(pairs);
}
