// SPDX-License-Identifier: Apache-2.0
import { type Check, fail, type Finding, ok, warn } from "../check.ts";
import { type AgentCertificate, type AgentCheck, certificatesOf, type RunningAgent } from "../running-agent.ts";
import { durationText } from "../token-file.ts";

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
  const why = identityProblem(agent.checks);
  if (certificates.length > 0) return certificates.map((one) => judgeOne(one, why, nowMs));
  // The hold of readiness is reported with the others.
  return why === ""
    ? [warn(name, "the running agent holds none yet", "See its log; nothing has requested it yet.")]
    : [];
}

function judgeOne(certificate: AgentCertificate, why: string, nowMs: number): Finding {
  const { spiffeId, notBeforeMs, notAfterMs } = certificate;
  const leftMs = notAfterMs - nowMs;
  const reason = why === "" ? "" : `; ${why}`;
  if (leftMs <= 0) {
    const fact = `the running agent's certificate of ${spiffeId} expired ${durationText(-leftMs)} ago${reason}`;
    return fail(name, fact, "Repair what ca and token report; the agent renews it by itself then.");
  }
  const fact = `the running agent's certificate of ${spiffeId} expires in ${durationText(leftMs)}`;
  if (leftMs < lateShare * (notAfterMs - notBeforeMs)) {
    return warn(
      name,
      `${fact} and was not renewed in time${reason}`,
      "Repair what ca and token report before it expires.",
    );
  }
  return ok(name, fact);
}

/** Why there is no valid certificate, as the hold of readiness says it; empty when there is. */
function identityProblem(checks: readonly AgentCheck[]): string {
  return checks.find((check) => check.name === "identity" && check.state === "failed")?.detail ?? "";
}
