// SPDX-License-Identifier: Apache-2.0
import { type AgentConfig, type ConfigInput, judgeConfig } from "../../config/index.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { formatHostPort, type HostPort } from "../../lib/net/host-port.ts";
import { type DoctorContext, fail, type Finding, ok } from "./check.ts";
import { nameCauses } from "./causes.ts";
import { readInputOf } from "../read-config.ts";
import { checks } from "./checks.ts";
import { hasEnvironment, lookedFor } from "./environment.ts";
import { type JudgedAgent, withEnvironment } from "./judged-agent.ts";
import { argsOfAgentIn, findAgents } from "./agent-processes.ts";
import { withoutOwnSockets } from "./machine/own-sockets.ts";
import { memoryShortage, yieldMemory } from "./machine/spare-memory.ts";
import { limitTime, runChecks } from "./run-checks.ts";
import { readExitReport } from "../exit-report.ts";
import { readRunningAgent } from "./running-agent.ts";

/** More agents are not named. */
const mostAgents = 8;

const raiseLimit = "Raise the container's memory limit to 192 MiB or more, and run it again.";

export interface DoctorOptions {
  readonly env: Readonly<Record<string, string>>;
  /** The arguments of `proxy`; empty takes those of the agent that runs in this directory, as a gateway's has a role. */
  readonly args: readonly string[];
  /** The agent's status port; undefined takes the configured one on this machine. */
  readonly address?: HostPort | undefined;
  /** Whose environment it is, and whether that is certain. */
  readonly judged?: Pick<JudgedAgent, "pid" | "isUncertain"> | undefined;
  /** The configuration with the Envoy that the agent runs, if that is not the configured one. */
  readonly chooseEnvoy?: (config: AgentConfig) => Promise<AgentConfig>;
}

export interface Diagnosis {
  readonly findings: readonly Finding[];
  readonly counts: { readonly failed: number; readonly warnings: number; readonly ok: number };
  readonly durationMs: number;
}

/** Runs all checks at the same time, and reports what they found in the order of their list. Never rejects for a check. */
export async function runDoctor(options: DoctorOptions, clock: Clock, stop: AbortSignal): Promise<Diagnosis> {
  const startMs = clock.monotonicMs();
  await yieldMemory();
  const shortage = memoryShortage();
  if (shortage !== undefined) return summarize([fail("limits.memory", shortage, raiseLimit)], 0);
  using limits = limitTime(clock, stop);
  const input = await readInput(options, limits.waits);
  const { config: judged, problems } = judgeConfig(input);
  const config = (await options.chooseEnvoy?.(judged)) ?? judged;
  const address = options.address ?? { host: "localhost", port: config.status.port };
  const { agent, problem, isLate } = await readRunningAgent(address, clock, limits.waits);
  const isGone = agent === undefined && options.address === undefined;
  const isEnvironment = hasEnvironment(input);
  const context: DoctorContext = {
    input,
    config,
    problems,
    agent,
    agentAddress: formatHostPort(address),
    agentProblem: problem,
    isAgentLate: isLate,
    agentExit: isGone ? await readExitReport(options.env, clock.now()) : undefined,
    isAddressGiven: options.address !== undefined,
    clock,
    signal: limits.waits,
  };
  const chosen = checks.filter((check) => isEnvironment || !check.needsEnvironment);
  const found = await runChecks(chosen, context, limits.end);
  stop.throwIfAborted();
  const all = isEnvironment ? withEnvironment(found, context, options.judged) : [await describeAbsence(), ...found];
  return summarize(all, clock.monotonicMs() - startMs);
}

async function readInput({ env, args: given, address }: DoctorOptions, signal: AbortSignal): Promise<ConfigInput> {
  const isHere = given.length === 0 && address === undefined;
  const args = (isHere ? await argsOfAgentIn(process.cwd()) : undefined) ?? given;
  const input = await readInputOf(env, args, signal);
  return { ...input, system: await withoutOwnSockets(input.system) };
}

/** On a laptop, agents may have an environment of their own each, such as those of `attache dev`. */
async function describeAbsence(): Promise<Finding> {
  const agents = await findAgents();
  const others = agents.map(({ pid, directory }) => `${String(pid)} in ${directory}`).slice(0, mostAgents);
  const first = agents.find(({ isHere }) => isHere);
  const how =
    first === undefined
      ? "each has a network or mounts of its own; run attache doctor there"
      : `examine one with --pid ${String(first.pid)}`;
  const found =
    agents.length === 0
      ? `looked for ${lookedFor}`
      : `agents run with an environment of their own: ${others.join(", ")}; ${how}`;
  return ok("environment", `not that of an agent, so most checks are left out; ${found}`);
}

/** The findings, each consequence with its cause, counted. */
export function summarize(found: readonly Finding[], durationMs: number): Diagnosis {
  const findings = nameCauses(found);
  return { findings, counts: count(findings), durationMs };
}

function count(findings: readonly Finding[]): Diagnosis["counts"] {
  const of = (outcome: Finding["outcome"]): number => findings.filter((finding) => finding.outcome === outcome).length;
  return { failed: of("fail"), warnings: of("warn"), ok: of("ok") };
}
