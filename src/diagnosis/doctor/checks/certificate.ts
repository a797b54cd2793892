// SPDX-License-Identifier: Apache-2.0
import { identityCauses } from "../causes.ts";
import { type Check, failUnless, type Finding, ok, warn } from "../check.ts";
import {
  type AgentCertificate,
  certificatesOf,
  type PeerState,
  peerStateOf,
  type RunningAgent,
} from "../running-agent.ts";
import { formatSpan } from "../../../lib/relative-time.ts";

const name = "certificate";
/** Renewal is due at half of the lifetime, and later only if it fails. */
const lateShare = 0.25;

/** The workload certificate that the running agent serves. */
export const certificateCheck: Check = {
  name,
  needsEnvironment: false,
  run({ agent, clock, config }) {
    if (agent?.overview === undefined || config.identity.kind === "external-sds") return Promise.resolve([]);
    return Promise.resolve(judge(agent, clock.now()));
  },
};

function judge(agent: RunningAgent, nowMs: number): readonly Finding[] {
  const certificates = certificatesOf(agent).filter(({ resourceName }) => resourceName === "default");
  const state = peerStateOf(agent, "ca");
  if (certificates.length > 0) return certificates.map((one) => judgeOne(one, state, nowMs));
  // The hold of readiness is reported with the others.
  if (agent.checks.some((check) => check.name === "identity" && check.state === "failed")) return [];
  const reason = reasonOf(state);
  if (reason !== "") return [warn(name, `the running agent holds none${reason}`, repair)];
  return [warn(name, "the running agent holds none yet", "See its log; nothing has requested it yet.")];
}

const repair = "Repair what ca, token and roots report; the agent renews it by itself then.";

/** Empty where no attempt has failed since the last success. */
function reasonOf(state: PeerState | undefined): string {
  if (state === undefined || state.failuresInARow === 0) return "";
  const { failuresInARow: count, lastReason } = state;
  return count === 1
    ? `; the last attempt failed: ${lastReason}`
    : `; the last ${String(count)} attempts failed: ${lastReason}`;
}

function judgeOne(certificate: AgentCertificate, state: PeerState | undefined, nowMs: number): Finding {
  const { spiffeId, notBeforeMs, notAfterMs } = certificate;
  const leftMs = notAfterMs - nowMs;
  const subject = `the running agent's certificate of ${spiffeId}`;
  const reason = reasonOf(state);
  if (leftMs <= 0) {
    return failUnless(identityCauses, name, `${subject} expired ${formatSpan(-leftMs)} ago${reason}`, repair);
  }
  const fact = `${subject} expires in ${formatSpan(leftMs)}`;
  if (leftMs < lateShare * (notAfterMs - notBeforeMs)) {
    return warn(name, `${fact} and was not renewed in time${reason}`, repair);
  }
  return reason !== "" ? warn(name, `${fact} and is not renewed${reason}`, repair) : ok(name, fact);
}
