// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { parseJsonObject } from "../../lib/json.ts";
import { type AgentClient, AgentResponseError, AgentUnreachableError } from "../agent-client.ts";
import { parsePodStatus, type PodStatus, statusWithoutAgent } from "./pod-status.ts";

const overviewPath = "/debug/overview";
const readinessPath = "/healthz/ready";

export interface StatusSource {
  readonly agent: AgentClient;
  /** How the agent of this container last exited; undefined where nothing says it. */
  readonly readExit: () => Promise<string | undefined>;
  readonly clock: Clock;
}

/**
 * The status of the pod. Where the agent does not serve its debug endpoints to this caller, only what its readiness probe
 * shows. Without an agent, that is the status.
 * @throws AgentResponseError, the signal's reason
 */
export async function readStatus({ agent, readExit, clock }: StatusSource, signal: AbortSignal): Promise<PodStatus> {
  try {
    return parsePodStatus(await agent.readJson(overviewPath, signal), clock.now());
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AgentUnreachableError) {
      const exit = await readExit();
      const why = `${sentenceStart(exit ?? error.message)}.`;
      const isLate = error.isLate && exit === undefined;
      return statusWithoutAgent({ why, isLate, cure: exit === undefined ? findCause : afterExit }, clock.now());
    }
    const isHidden = error instanceof AgentResponseError && (error.status === 404 || error.status === 403);
    if (!isHidden) throw error;
    return await readReadiness(agent, clock, signal, error);
  }
}

const findCause = "`attache doctor` in this container examines what an agent needs.";
const afterExit =
  "Its last lines are in this container's log. `attache doctor` in this container examines what it needs.";

/** @param hidden why there is no more */
async function readReadiness(
  agent: AgentClient,
  clock: Clock,
  signal: AbortSignal,
  hidden: AgentResponseError,
): Promise<PodStatus> {
  const response = await agent.request({ path: readinessPath }, signal);
  const document = parseJsonObject(response.text());
  if (typeof document?.["ready"] !== "boolean") throw hidden;
  const cure = "Only readiness is shown: the agent serves the rest to callers in the pod, unless --profiling=false.";
  return { ...parsePodStatus(document, clock.now()), cure };
}

function sentenceStart(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
