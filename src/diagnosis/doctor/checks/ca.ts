// SPDX-License-Identifier: Apache-2.0
import type { CaProbe } from "../../../ca/index.ts";
import { describeError } from "../../../lib/errors.ts";
import { formatHostPort } from "../../../lib/net/host-port.ts";
import { type Check, type Finding, ok } from "../check.ts";
import { splitCure, withoutAdvice } from "../cure.ts";
import { type Network, networkOf } from "../network/network.ts";
import { blocked, failed, findingOf, passed, type Step } from "../network/step.ts";

/** The way to each CA, up to whether it accepts this workload's credentials. Nothing is signed. */
export const caCheck: Check = {
  name: "ca",
  needsEnvironment: true,
  async run(context) {
    const { config } = context;
    const network = networkOf(context);
    if (config.identity.kind !== "ca") {
      return [ok("ca", `none is called: the certificate comes from ${identityNames[config.identity.kind]}`)];
    }
    if (network.cas.length === 0) {
      if (context.problems.length > 0 && config.ca.kind !== "embedded") return [];
      return [ok("ca", "the embedded CA signs in the agent")];
    }
    const ways = await Promise.all(network.cas.map(async (member) => await wayTo(member, network)));
    const works = ways.map((steps) => steps.every(({ outcome }) => outcome !== "fail"));
    return ways.flatMap((steps, index) => {
      const isFallback = works.some((isWorking, other) => isWorking && other !== index);
      return steps.map((step) => withCause(findingOf("ca", step, isFallback)));
    });
  },
};

/** A token of another account is the cause, where the CA rejects the workload. */
function withCause(finding: Finding): Finding {
  return finding.check === "ca.auth" && finding.outcome === "fail"
    ? { ...finding, waitsFor: ["token.account"] }
    : finding;
}

const identityNames = {
  "external-sds": "another process, over SDS",
  "mounted-files": "mounted files",
  "workload-api": "a SPIFFE agent",
} as const;

async function wayTo(member: Network["cas"][number], network: Network): Promise<readonly Step[]> {
  const { steps, isOpen } = await network.reach(member.peer);
  if (!isOpen) return steps;
  const probe = await network.probeCa(member).catch((error: unknown): CaProbe => {
    return { kind: "unavailable", detail: describeError(error) };
  });
  return probe === undefined ? steps : [...steps, authStep(member, probe)];
}

function authStep({ peer: { role, address } }: Network["cas"][number], { kind, detail }: CaProbe): Step {
  switch (kind) {
    case "accepted":
      return passed("auth", `the CA accepts this workload ${detail}`);
    case "not-asked":
      return passed("auth", `not asked whether it accepts this workload: ${detail}`);
    case "no-credential":
      return blocked("auth", `the CA is not asked: ${withoutAdvice(detail)}`, "token");
    case "unavailable": {
      const fact = `${role} ${formatHostPort(address)} does not sign: ${detail}`;
      return failed("auth", fact, "Look into the log of the CA; if it serves another purpose, correct its address.");
    }
    case "rejected": {
      const { fact, cure } = splitCure(detail);
      const usual = "Compare the token with what the CA accepts, and see the log of the CA.";
      return failed("auth", `the CA rejects this workload: ${fact}`, cure ?? usual);
    }
  }
}
