// SPDX-License-Identifier: Apache-2.0
import { oneLine } from "../../lib/trim.ts";
import type { ReadinessCheck, ReadinessReport } from "../readiness/readiness-report.ts";
import { typeName } from "./type-name.ts";
import type { CaFacts, CertificateFacts, ControlPlaneFacts, XdsFacts } from "../inspection.ts";

/** The state of the pod and its cause, for a person who reads nothing else. */
export interface Headline {
  readonly state: "ready" | "not-ready" | "shutting-down";
  /** The cause rather than its consequences. */
  readonly sentence: string;
  /** What to do about it. */
  readonly cure?: string;
}

export interface HeadlineFacts {
  readonly readiness: ReadinessReport;
  /** Why the agent shuts down; undefined while it does not. */
  readonly terminating: string | undefined;
  readonly ca: CaFacts | undefined;
  readonly certificates: readonly CertificateFacts[];
  readonly controlPlane: ControlPlaneFacts | undefined;
  readonly xds: XdsFacts | undefined;
}

type Finding = Pick<Headline, "sentence" | "cure">;

/**
 * A missing certificate or an unreachable control plane keeps Envoy from being ready, and not the other way round: what
 * others wait for is named first.
 */
export function headlineOf(facts: HeadlineFacts): Headline {
  const { readiness, terminating } = facts;
  if (terminating !== undefined) return { state: "shutting-down", sentence: `The agent shuts down: ${terminating}.` };
  if (readiness.ready) return { state: "ready", sentence: "The pod is ready.", ...warning(facts) };
  const failed = failedChecks(readiness.checks);
  const found =
    envoyDown(failed) ??
    envoySilent(failed) ??
    certificateMissing(facts, ["failed"]) ??
    refused(facts, failed) ??
    controlPlaneAway(facts, failed) ??
    certificateMissing(facts, ["not-counted"]);
  return { state: "not-ready", ...(found ?? firstOf(failed)) };
}

const doctor = "`attache doctor` in this container";

/** The pod serves, but will not for long, or not with what the control plane wants. */
function warning(facts: HeadlineFacts): Finding | undefined {
  const { ca, xds, controlPlane, readiness } = facts;
  const envoy = readiness.checks.find(({ name }) => name === "envoy");
  const silent = envoy?.children?.find(({ name, state }) => name === "admin interface" && state === "failed");
  if (silent !== undefined) return { sentence: "The pod is ready, but Envoy does not respond.", cure: silentCure };
  const rejected = xds?.types.find(({ refusal }) => refusal !== undefined);
  if (ca?.failingSinceMs !== undefined && ca.lastFailure !== undefined) return certificateFails(ca.lastFailure, facts);
  if (rejected?.refusal !== undefined) {
    const { typeUrl, readBy, refusal } = rejected;
    const who = readBy === "agent" ? "the agent" : "Envoy";
    return {
      sentence: `The pod is ready, but ${who} rejects ${typeName(typeUrl)}: ${sentenceEnd(refusal.reason)}`,
      cure: refusedCure,
    };
  }
  if (controlPlane?.connected === false && controlPlane.lastFailure !== undefined) {
    return {
      sentence: `The pod is ready, but has no control plane: ${sentenceEnd(controlPlane.lastFailure.reason)}`,
      cure: `Envoy keeps its configuration and the agent reconnects. ${doctor} checks the way to ${controlPlane.address}.`,
    };
  }
  return undefined;
}

const silentCure = `Envoy is stopped or overloaded: ${doctor} checks its process and its limits; restart the container if it stays so.`;

/** Nothing is renewed where there is no certificate yet. */
function certificateFails(
  { reason }: NonNullable<CaFacts["lastFailure"]>,
  { ca, certificates, readiness }: HeadlineFacts,
): Finding {
  if (certificates.length > 0) {
    const cure = `The certificate in use stays valid until it expires. ${doctor} checks what the CA needs.`;
    return { sentence: `The pod is ready, but its certificate is not renewed: ${sentenceEnd(reason)}`, cure };
  }
  const isAsked = !readiness.checks.some(({ name, state }) => name === "identity" && state === "not-counted");
  const unasked = isAsked ? "" : ", which nothing has requested yet";
  return {
    sentence: `The pod is ready, but no certificate was obtained${unasked}: ${sentenceEnd(reason)}`,
    cure: `Mutual TLS fails without it. ${doctor} checks token, roots and the way to ${ca?.address || "the CA"}.`,
  };
}

/** Its process runs, and accepts connections. */
function envoySilent(failed: readonly ReadinessCheck[]): Finding | undefined {
  const check = failed.find(({ code }) => code === "envoy-silent");
  return check && { sentence: capital(sentenceEnd(check.detail ?? "Envoy does not respond")), cure: silentCure };
}

function envoyDown(failed: readonly ReadinessCheck[]): Finding | undefined {
  const check = failed.find(({ code }) => code === "envoy-start");
  if (check === undefined) return undefined;
  const cure = `Envoy's last lines are in this container's log. ${doctor} checks Envoy's binary, ports and limits.`;
  return { sentence: `Envoy does not run: ${sentenceEnd(check.detail ?? check.name)}`, cure };
}

/** @param states `not-counted`: Envoy has not asked for the certificate yet */
function certificateMissing(
  { readiness, ca }: HeadlineFacts,
  states: readonly ReadinessCheck["state"][],
): Finding | undefined {
  const check = readiness.checks.find(({ name, state }) => name === "identity" && states.includes(state));
  if (check?.detail === undefined) return undefined;
  if (check.state !== "failed" && (ca === undefined || ca.failuresInARow === 0)) return undefined;
  const where = ca === undefined || ca.address === "" ? "the CA" : ca.address;
  return {
    sentence: capital(sentenceEnd(check.detail)),
    cure: `${doctor} checks token, roots and the way to ${where}.`,
  };
}

function controlPlaneAway({ controlPlane }: HeadlineFacts, failed: readonly ReadinessCheck[]): Finding | undefined {
  const check = failed.find(({ code }) => code === "control-plane");
  if (check === undefined || controlPlane === undefined) return undefined;
  const { connected, lastFailure, address } = controlPlane;
  if (connected) {
    return {
      sentence: `Envoy has no configuration: the control plane at ${address} has sent no clusters or no listeners yet.`,
      cure: "The control plane's log says whether it knows this pod, and whether it is overloaded.",
    };
  }
  const cure = `${doctor} checks token, roots and the way to ${address}.`;
  const reason = lastFailure?.reason ?? check.detail ?? "the control plane does not respond";
  return { sentence: `Envoy has no configuration: ${sentenceEnd(reason)}`, cure };
}

const refusedCure =
  "Correct or remove the resource that the message names in the control plane; Envoy keeps what it has.";

function refused({ controlPlane }: HeadlineFacts, failed: readonly ReadinessCheck[]): Finding | undefined {
  const check = failed.find(({ code }) => code === "configuration-refused");
  if (check === undefined) return undefined;
  const sentence = `Envoy has no configuration: ${check.name}: ${sentenceEnd(check.detail ?? "rejected")}`;
  // a file's own text says where to correct it
  return controlPlane === undefined ? { sentence } : { sentence, cure: refusedCure };
}

/** The first condition that nothing else explains. */
function firstOf(failed: readonly ReadinessCheck[]): Finding {
  const leaf = failed.find(({ children = [] }) => children.every(({ state }) => state !== "failed")) ?? failed[0];
  if (leaf === undefined) return { sentence: "The pod is not ready." };
  return { sentence: `The pod is not ready: ${leaf.name}: ${sentenceEnd(leaf.detail ?? "pending")}` };
}

/** Failed checks with their children, in the order of the tree. */
function failedChecks(checks: readonly ReadinessCheck[]): readonly ReadinessCheck[] {
  return checks
    .filter(({ state }) => state === "failed")
    .flatMap((check) => [check, ...failedChecks(check.children ?? [])]);
}

/** On one line, with a full stop: details have none, and peers' texts may have lines. Times are to the second. */
function sentenceEnd(text: string): string {
  const plain = oneLine(text).replaceAll(/(T\d\d:\d\d:\d\d)\.\d+Z/g, "$1Z");
  return /[.!?]$/.test(plain) ? plain : `${plain}.`;
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
