// SPDX-License-Identifier: Apache-2.0
import type { EnvoyFacts } from "../../inspection.ts";
import type { Overview } from "../overview.ts";
import { type Html, html, type Part, timeAgo, timeFor, timeIn, timeLeft } from "./html.ts";

type Mood = "bad" | "warn" | undefined;

/** The pod, its versions and its peers, each with what is wrong about it. */
export function factList(overview: Overview): Html {
  return html`<dl class="facts" id="facts">${[
    certificateFact(overview),
    caFact(overview),
    controlPlaneFact(overview),
    envoyFact(overview),
    agentFact(overview),
    podFact(overview),
  ]}</dl>`;
}

function fact(name: string, value: Part, more: readonly Part[] = [], mood?: Mood): Html {
  const sign =
    mood === undefined ? undefined : html`<span class="sign" aria-hidden="true">${mood === "bad" ? "✕" : "!"}</span>`;
  const rest = more.filter((part) => part !== undefined && part !== "").map((part) => html`<dd>${part}</dd>`);
  return html`<div><dt>${name}</dt><dd${mood === undefined ? undefined : html` class="${mood}"`}>${sign}${value}</dd>${rest}</div>`;
}

function podFact({ node }: Overview): Html | undefined {
  if (node === undefined) return undefined;
  const name = node.name === "" ? "name not known" : node.name;
  return fact("Pod", `${name} in ${node.namespace}`, [`service account ${node.serviceAccount}`, node.id]);
}

function agentFact({ agent, version, drain, nowMs }: Overview): Html {
  if (agent === undefined) return fact("Agent", version ?? "attache");
  const started = html`Node.js ${agent.node}, process ${agent.pid}, started ${timeAgo(agent.startedAtMs, nowMs)}`;
  return fact("Agent", `attache ${agent.version}`, [
    agent.revision === "unknown" ? undefined : `commit ${agent.revision}`,
    started,
    html`<span id="drain">${drain}</span>`,
  ]);
}

function envoyFact({ envoy, nowMs }: Overview): Html {
  if (envoy === undefined) return fact("Envoy", "none: this agent runs without Envoy");
  const { version, state, pid, startedAtMs, adminAddress } = envoy;
  const words: Readonly<Record<string, string>> = { EXITED: "has exited", "NO RESPONSE": "does not respond" };
  const mood = state === "LIVE" ? undefined : words[state] === undefined ? "warn" : "bad";
  const process = html`process ${pid}, started ${timeAgo(startedAtMs, nowMs)}, admin interface ${adminAddress}`;
  const word = words[state] === undefined ? `, ${state}` : ` ${words[state]}`;
  const value = `Envoy${version === undefined ? "" : ` ${version}`}${word}`;
  return fact("Envoy", value, [process, restartText(envoy)], mood);
}

function restartText({ restarts }: EnvoyFacts): string {
  const { count, hotRestarts, failedHotRestarts, lastFailure } = restarts;
  const parts = [
    counted(count, "restart"),
    hotRestarts > 0 ? counted(hotRestarts, "hot restart") : "",
    failedHotRestarts > 0 ? counted(failedHotRestarts, "failed hot restart") : "",
    lastFailure === undefined ? "" : `last failure: ${lastFailure}`,
  ];
  return parts.filter((part) => part !== "").join(", ");
}

function counted(count: number, noun: string): string {
  if (count === 0) return `no ${noun}s`;
  return `${String(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function certificateFact({ certificates, ca, nowMs }: Overview): Html {
  const [certificate] = certificates;
  if (certificate === undefined) {
    return ca === undefined
      ? fact("Certificate", "served by another process")
      : fact("Certificate", "none yet", [], "bad");
  }
  const { notAfterMs, nextRenewalAtMs, spiffeId } = certificate;
  const isExpired = notAfterMs <= nowMs;
  const what = ca?.failingSinceMs !== undefined ? "next attempt" : "next renewal";
  const renewal =
    nextRenewalAtMs === undefined ? "renewed by its provider" : html`${what} ${timeIn(nextRenewalAtMs, nowMs)}`;
  const value = html`${isExpired ? "expired" : "valid for"} ${timeLeft(notAfterMs, nowMs)}`;
  return fact("Certificate", value, [renewal, spiffeId], isExpired ? "bad" : undefined);
}

function caFact({ ca, nowMs }: Overview): Html {
  if (ca === undefined) return fact("CA", "not used by this agent");
  const { kind, address, lastSuccessAtMs, lastFailure, failingSinceMs } = ca;
  const success =
    lastSuccessAtMs === undefined ? "no certificate so far" : html`last certificate ${timeAgo(lastSuccessAtMs, nowMs)}`;
  if (failingSinceMs === undefined || lastFailure === undefined) return fact("CA", address, [kind, success]);
  const failing = html`fails for ${timeFor(failingSinceMs, nowMs)}: ${lastFailure.reason}`;
  return fact("CA", address, [kind, failing, success], "bad");
}

function controlPlaneFact({ controlPlane, nowMs }: Overview): Html {
  if (controlPlane === undefined) return fact("Control plane", "none: Envoy reads files");
  const { address, connected, sinceMs, lastResponseAtMs, lastFailure } = controlPlane;
  const response =
    lastResponseAtMs === undefined ? "no response so far" : html`last response ${timeAgo(lastResponseAtMs, nowMs)}`;
  if (connected) {
    return fact("Control plane", address, [
      sinceMs === undefined ? "connected" : html`connected for ${timeFor(sinceMs, nowMs)}`,
      response,
    ]);
  }
  const state = sinceMs === undefined ? "not connected yet" : html`not connected for ${timeFor(sinceMs, nowMs)}`;
  const reason =
    lastFailure === undefined ? undefined : html`${lastFailure.reason} (${timeAgo(lastFailure.atMs, nowMs)})`;
  return fact("Control plane", address, [state, reason, response], sinceMs === undefined ? "warn" : "bad");
}
