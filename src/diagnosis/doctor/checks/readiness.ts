// SPDX-License-Identifier: Apache-2.0
import { controlPlaneCauses, envoyCauses, envoyProcessCauses, identityCauses, refusalCauses } from "../causes.ts";
import { type Check, fail, failUnless, ok, warn } from "../check.ts";
import { fileOf, splitFileCure } from "../refused-file.ts";
import type { AgentCheck } from "../running-agent.ts";

const name = "readiness";

/** Each condition that keeps the running agent unready, at the innermost level. */
export const readinessCheck: Check = {
  name,
  needsEnvironment: false,
  run({ agent }) {
    if (agent === undefined) return Promise.resolve([]);
    const conditions = agent.checks.flatMap((check) => openConditions(check, []));
    if (conditions.length === 0) return Promise.resolve([ok(name, "every condition of the running agent passes")]);
    const failed = conditions.filter(({ check }) => check.state === "failed" && !agent.ready);
    const [cause] = failed.toSorted((a, b) => rank(a) - rank(b));
    return Promise.resolve(
      conditions.map((condition) => {
        const { fact, cure, causes } = condition;
        if (!failed.includes(condition)) return warn(name, fact, cure);
        if (condition === cause || rank(condition) === 0) {
          return causes === undefined ? fail(name, fact, cure) : failUnless(causes, name, fact, cure);
        }
        return warn(name, fact, `This waits for ${textOf(cause)}; see what is reported of that.`);
      }),
    );
  },
};

/** A condition that does not pass, at the innermost level. */
interface Condition {
  readonly check: AgentCheck;
  readonly fact: string;
  readonly cure: string;
  /** What it waits for itself; undefined where the condition names the fault, such as a resource file. */
  readonly causes: readonly string[] | undefined;
}

/** What each condition itself waits for. */
const causesOf: Readonly<Record<string, readonly string[]>> = {
  certificate: identityCauses,
  "control-plane": controlPlaneCauses,
  "configuration-refused": refusalCauses,
  "envoy-start": envoyProcessCauses,
  "listener-lost": envoyProcessCauses,
  "envoy-silent": envoyProcessCauses,
  "envoy-initialising": envoyCauses,
};

/** Envoy's start and its workers wait for all others; what the workers wait for is named. */
function rank({ check }: Condition): number {
  if (check.code !== "envoy-initialising") return 0;
  return check.detail.includes("waits for") ? 1 : check.name === "workers" ? 2 : 3;
}

function textOf(condition: Condition | undefined): string {
  return condition?.check.name ?? "another condition";
}

/** A failed condition is reported by the conditions that it consists of. */
function openConditions(check: AgentCheck, path: readonly string[]): readonly Condition[] {
  if (check.state === "passed") return [];
  const here = [...path, check.name];
  const inner = check.children.flatMap((child) => openConditions(child, here));
  if (inner.length > 0) return inner;
  const where = here.join(", ");
  const file = fileOf(check.detail);
  if (file === undefined) {
    return [
      { check, fact: `${where}: ${plainDetail(check.detail)}`, cure: cureOf(check), causes: causesOf[check.code] },
    ];
  }
  const { fact, cure } = splitFileCure(check.detail, file);
  return [{ check, fact: `${where}: ${fact}`, cure, causes: undefined }];
}

/** The agent has pilot-agent's words for what Envoy's statistics do not have yet. */
function plainDetail(detail: string): string {
  if (detail.includes("is not yet updated")) return "Envoy has not started its workers yet, and tells no state";
  return detail === "" ? "pending" : detail;
}

const cures: Readonly<Record<string, string>> = {
  certificate: "See what ca, token and roots report; the agent tries again by itself.",
  "configuration-refused":
    "See /debug/xds of the agent and Envoy's log for what Envoy rejects, and correct it at its source.",
  "control-plane": "See what control-plane reports; the agent connects again by itself.",
  "envoy-start": "See Envoy's last lines in the log; a wrong bootstrap or a port in use ends its start.",
  "envoy-silent":
    "Envoy is stopped or overloaded: see process and limits; restart the container if it does not respond again.",
  "envoy-initialising":
    "Envoy waits for clusters, listeners or secrets: see the other conditions and the control plane.",
  "listener-lost": "Another process took the port, or Envoy could not listen on it: see ports.",
};

function cureOf({ name: check, code }: AgentCheck): string {
  if (check === "termination") return "The agent shuts down; nothing is to be done unless it should not.";
  return cures[code] ?? "See the agent's log, and attache status for what the pod waits for.";
}
