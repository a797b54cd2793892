// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, objectOf, objectsOf, textOf } from "../../lib/json.ts";
import { numberOf, optionalText, parsed, timeOf } from "./json-fields.ts";
import { parseXds, type XdsStatus } from "./xds-status.ts";

/** The state of a pod as its agent reports it. Times are ISO 8601; undefined for what is not known. */
export interface PodStatus {
  readonly ready: boolean;
  readonly state: "ready" | "not-ready" | "shutting-down" | "no-agent" | "no-response";
  /** The state and its cause, one sentence. */
  readonly sentence: string;
  readonly cure: string;
  /** By the agent's clock. */
  readonly now: string;
  readonly agent: AgentStatus | undefined;
  readonly envoy: EnvoyStatus | undefined;
  /** False: it runs, but does not respond to the agent. A ready pod stays ready all the same. */
  readonly envoyResponds: boolean;
  readonly pod: { readonly name: string; readonly namespace: string; readonly serviceAccount: string } | undefined;
  readonly ca: CaStatus | undefined;
  readonly controlPlane: ControlPlaneStatus | undefined;
  readonly certificates: readonly CertificateStatus[];
  readonly roots: readonly RootStatus[];
  /** Undefined where configuration comes from files. */
  readonly xds: XdsStatus | undefined;
  /** What the pod waits for. */
  readonly pending: readonly PendingCheck[];
  readonly lastErrors: readonly LoggedError[];
  /** Progress of a drain; empty while there is none. */
  readonly drain: string;
}

export interface AgentStatus {
  readonly version: string;
  readonly startedAt: string;
}

export interface EnvoyStatus {
  readonly version: string;
  readonly state: string;
  readonly startedAt: string;
  readonly restarts: number;
  readonly hotRestarts: number;
  /** Why it exited the last time; empty while it never failed. */
  readonly lastFailure: string;
}

interface Failure {
  readonly at: string;
  readonly reason: string;
}

export interface CaStatus {
  readonly kind: string;
  readonly address: string;
  readonly lastSuccessAt: string | undefined;
  readonly failuresInARow: number;
  readonly lastFailure: Failure | undefined;
}

export interface ControlPlaneStatus {
  readonly address: string;
  readonly connected: boolean;
  readonly since: string | undefined;
  readonly lastFailure: Failure | undefined;
}

export interface CertificateStatus {
  readonly spiffeId: string;
  readonly serial: string;
  readonly issuer: string;
  readonly notAfter: string;
  readonly nextRenewalAt: string | undefined;
}

export interface RootStatus {
  readonly subject: string;
  readonly notAfter: string;
  readonly trustDomain: string | undefined;
}

export interface PendingCheck {
  readonly name: string;
  readonly detail: string;
}

export interface LoggedError {
  readonly at: string;
  readonly level: string;
  readonly scope: string;
  readonly text: string;
}

/** @param overview the response of `/debug/overview`, or of `/healthz/ready` with the same tree */
export function parsePodStatus(overview: JsonObject, nowMs: number): PodStatus {
  const readiness = isJsonObject(overview["readiness"]) ? overview["readiness"] : overview;
  const ready = readiness["ready"] === true;
  const headline = objectOf(overview["headline"]);
  const drain = textOf(overview["drain"]);
  const envoyResponds = !isSilent(readiness);
  return {
    ready,
    state: stateOf(textOf(headline["state"]), ready),
    sentence: textOf(headline["sentence"]) || (ready ? readySentence(envoyResponds) : "The pod is not ready."),
    cure: textOf(headline["cure"]),
    now: timeOf(overview["now"]) ?? new Date(nowMs).toISOString(),
    agent: parsed(overview["agent"], ({ version, startedAt }) => ({
      version: textOf(version),
      startedAt: textOf(startedAt),
    })),
    envoy: parsed(overview["envoy"], parseEnvoy),
    envoyResponds,
    pod: parsed(overview["node"], ({ name, namespace, serviceAccount }) => ({
      name: textOf(name),
      namespace: textOf(namespace),
      serviceAccount: textOf(serviceAccount),
    })),
    ca: parsed(overview["ca"], parseCa),
    controlPlane: parsed(overview["controlPlane"], parseControlPlane),
    certificates: objectsOf(overview["certificates"]).map(parseCertificate),
    roots: objectsOf(overview["roots"]).map(({ subject, notAfter, trustDomain }) => ({
      subject: textOf(subject),
      notAfter: textOf(notAfter),
      trustDomain: optionalText(trustDomain),
    })),
    xds: parsed(overview["xds"], parseXds),
    pending: pendingOf(readiness),
    lastErrors: objectsOf(overview["lastErrors"]).map(({ at, level, scope, text }) => ({
      at: textOf(at),
      level: textOf(level),
      scope: textOf(scope),
      text: textOf(text),
    })),
    drain: ["", "serving", "not draining"].includes(drain) ? "" : drain,
  };
}

export interface AgentAbsence {
  /** A sentence. */
  readonly why: string;
  readonly cure: string;
  /** Something accepts connections there, but did not respond in time. */
  readonly isLate: boolean;
}

export function statusWithoutAgent({ why, cure, isLate }: AgentAbsence, nowMs: number): PodStatus {
  const state = isLate ? "no-response" : "no-agent";
  const now = new Date(nowMs).toISOString();
  return { ...parsePodStatus({}, nowMs), ready: false, state, sentence: why, cure, now };
}

function readySentence(envoyResponds: boolean): string {
  return envoyResponds ? "The pod is ready." : "The pod is ready, but Envoy does not respond.";
}

/** Whether Envoy's admin interface fails, counted or not. */
function isSilent(parent: JsonObject): boolean {
  return objectsOf(parent["checks"]).some(
    (check) => (check["name"] === "admin interface" && check["state"] === "failed") || isSilent(check),
  );
}

function stateOf(text: string, ready: boolean): PodStatus["state"] {
  return text === "shutting-down" ? text : ready ? "ready" : "not-ready";
}

function parseEnvoy({ version, state, startedAt, restarts }: JsonObject): EnvoyStatus {
  const { count, hotRestarts, lastFailure } = objectOf(restarts);
  return {
    version: textOf(version),
    state: textOf(state),
    startedAt: textOf(startedAt),
    restarts: numberOf(count) ?? 0,
    hotRestarts: numberOf(hotRestarts) ?? 0,
    lastFailure: textOf(lastFailure),
  };
}

function parseCa({ kind, address, lastSuccessAt, failuresInARow, lastFailure }: JsonObject): CaStatus {
  return {
    kind: textOf(kind),
    address: textOf(address),
    lastSuccessAt: timeOf(lastSuccessAt),
    failuresInARow: numberOf(failuresInARow) ?? 0,
    lastFailure: parsed(lastFailure, parseFailure),
  };
}

function parseFailure({ at, reason }: JsonObject): Failure {
  return { at: textOf(at), reason: textOf(reason) };
}

function parseControlPlane({ address, connected, since, lastFailure }: JsonObject): ControlPlaneStatus {
  return {
    address: textOf(address),
    connected: connected === true,
    since: timeOf(since),
    lastFailure: parsed(lastFailure, parseFailure),
  };
}

function parseCertificate({ spiffeId, serial, issuer, notAfter, nextRenewalAt }: JsonObject): CertificateStatus {
  return {
    spiffeId: textOf(spiffeId),
    serial: textOf(serial),
    issuer: textOf(issuer),
    notAfter: textOf(notAfter),
    nextRenewalAt: timeOf(nextRenewalAt),
  };
}

/** The innermost checks that keep the pod unready. */
function pendingOf(parent: JsonObject): readonly PendingCheck[] {
  return objectsOf(parent["checks"]).flatMap((check) => {
    if (check["state"] !== "failed") return [];
    const inner = pendingOf(check);
    return inner.length > 0 ? inner : [{ name: textOf(check["name"]), detail: textOf(check["detail"]) }];
  });
}
