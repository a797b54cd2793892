// SPDX-License-Identifier: Apache-2.0
import { type Check, fail, type Finding, ok, warn } from "../check.ts";
import { fileOf, splitFileCure } from "../refused-file.ts";
import type { AgentCheck } from "../running-agent.ts";

const name = "readiness";

/** Each condition that keeps the running agent unready, at the innermost level. */
export const readinessCheck: Check = {
  name,
  needsEnvironment: false,
  run({ agent }) {
    if (agent === undefined) return Promise.resolve([]);
    const findings = agent.checks.flatMap((check) => findingsOf(check, [], agent.ready));
    return Promise.resolve(findings.length > 0 ? findings : [ok(name, "every condition of the running agent passes")]);
  },
};

/** A failed condition is reported by the conditions that it consists of. */
function findingsOf(check: AgentCheck, path: readonly string[], isReady: boolean): readonly Finding[] {
  if (check.state === "passed") return [];
  const here = [...path, check.name];
  const inner = check.children.flatMap((child) => findingsOf(child, here, isReady));
  if (inner.length > 0) return inner;
  const file = fileOf(check.detail);
  const { fact: detail, cure } =
    file === undefined ? { fact: check.detail, cure: cureOf(check) } : splitFileCure(check.detail, file);
  const fact = `${here.join(", ")}: ${detail === "" ? "pending" : detail}`;
  const isFailure = check.state === "failed" && !isReady;
  return [isFailure ? fail(name, fact, cure) : warn(name, fact, cure)];
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
  return cures[code] ?? "See the agent's log; docs/operations.md describes the conditions of readiness.";
}
