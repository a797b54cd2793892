// SPDX-License-Identifier: Apache-2.0
import type { ChainChecks } from "../../cert/index.ts";
import type { Clock } from "../../lib/async/clock.ts";
import type { AgentClient } from "../agent-client.ts";
import { parseWorkloadIdentity, serialOf, type WorkloadIdentity } from "./workload-identity.ts";

/** The outcome of a renewal on request. */
export type Renewal =
  | {
      readonly renewed: true;
      /** Undefined when it is the first certificate. */
      readonly oldSerial: string | undefined;
      readonly newSerial: string;
      readonly tookMs: number;
    }
  | {
      readonly renewed: false;
      readonly oldSerial: string | undefined;
      readonly reason: string;
      /** Whether the agent tries again by itself. */
      readonly retried: boolean;
    };

export const identityPath = "/debug/identity";
const timeoutMs = 30_000;
const pollMs = 50;

export async function readWorkloadIdentity(agent: AgentClient, signal: AbortSignal): Promise<WorkloadIdentity> {
  return parseWorkloadIdentity(await agent.readJson(identityPath, signal));
}

/**
 * Has the agent renew its certificate, and waits until it has another one, or until the attempt has failed.
 * @throws AgentUnreachableError, AgentResponseError
 */
export async function renewCertificate(
  agent: AgentClient,
  { clock, checks }: { readonly clock: Clock; readonly checks: ChainChecks },
  signal: AbortSignal,
): Promise<Renewal> {
  const before = await readWorkloadIdentity(agent, signal);
  const oldSerial = serialOf(before.chainPem, checks);
  const startMs = clock.monotonicMs();
  const response = await agent.request({ path: "/rotate", method: "POST" }, signal);
  if (response.status === 409) return { renewed: false, oldSerial, reason: response.text().trim(), retried: false };
  if (response.status !== 200) {
    const reason = `POST /rotate: HTTP status ${String(response.status)}: ${response.text().trim()}`;
    return { renewed: false, oldSerial, reason, retried: false };
  }
  while (clock.monotonicMs() - startMs < timeoutMs) {
    const now = await readWorkloadIdentity(agent, signal);
    const newSerial = serialOf(now.chainPem, checks);
    if (newSerial !== undefined && newSerial !== oldSerial) {
      return { renewed: true, oldSerial, newSerial, tookMs: Math.round(clock.monotonicMs() - startMs) };
    }
    const failed = failureSince(before, now);
    if (failed !== undefined) return { renewed: false, oldSerial, reason: failed, retried: true };
    await clock.delay(pollMs, signal);
  }
  const reason = `no new certificate within ${String(timeoutMs / 1_000)} s: the CA does not respond`;
  return { renewed: false, oldSerial, reason, retried: true };
}

/** Why the attempt that was asked for failed; undefined while it is under way. */
function failureSince(before: WorkloadIdentity, now: WorkloadIdentity): string | undefined {
  const [then, renewal] = [before.renewal, now.renewal];
  if (then === undefined || renewal === undefined || renewal.attempts <= then.attempts) return undefined;
  const hasFailed = renewal.failuresInARow > then.failuresInARow;
  return hasFailed && renewal.lastError !== "" ? renewal.lastError : undefined;
}
