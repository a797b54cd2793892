// SPDX-License-Identifier: Apache-2.0
import type { XdsTypeFacts } from "../../inspection.ts";
import type { ReadinessCheck } from "../../readiness/readiness-report.ts";
import type { Overview } from "../overview.ts";
import { typeName } from "../type-name.ts";
import { type Html, html, type Part, table, timeAgo, timeFor, timeIn } from "./html.ts";

function section(title: string, content: Part): Html {
  return html`<section><h2>${title}</h2>${content}</section>`;
}

const signs = {
  passed: ["good", "✓", "passes"],
  failed: ["bad", "✕", "fails"],
  "not-counted": ["warn", "!", "fails, but does not count"],
} as const;

export function readinessSection({ readiness, nowMs }: Overview): Html {
  const items = readiness.checks.map((check) => checkItem(check, nowMs));
  return section("Readiness", html`<ul class="tree" id="readiness">${items}</ul>`);
}

function checkItem({ name, state, detail, sinceMs, children = [] }: ReadinessCheck, nowMs: number): Html {
  const [mood, sign, word] = signs[state];
  const since = sinceMs === undefined ? undefined : html` <span class="quiet">(for ${timeFor(sinceMs, nowMs)})</span>`;
  const below = children.length === 0 ? undefined : html`<ul>${children.map((child) => checkItem(child, nowMs))}</ul>`;
  return html`<li class="${state}"><span class="sign ${mood}" role="img" aria-label="${word}">${sign}</span><b>${name}</b>${detail === undefined ? undefined : `: ${detail}`}${since}${below}</li>`;
}

export function xdsSection({ xds, nowMs }: Overview): Html {
  if (xds === undefined)
    return section("Configuration (xDS)", html`<p id="xds" class="quiet">not proxied by this agent</p>`);
  const state = xds.connected ? "connected to the control plane" : "no stream to a control plane";
  const rows = xds.types.map((type) => xdsRow(type, nowMs));
  return section(
    "Configuration (xDS)",
    html`<p id="xds-state" class="${xds.connected ? "quiet" : "bad"}">${state}</p>${table({
      id: "xds",
      caption: "Resource types with their versions",
      head: ["type", "state", "version in use", "version sent", "resources", "sent", "accepted"],
      rows,
      none: "nothing requested yet",
    })}`,
  );
}

const syncSigns: Readonly<Record<NonNullable<XdsTypeFacts["state"]>, readonly [string, string]>> = {
  SYNCED: ["good", "✓"],
  STALE: ["warn", "…"],
  NACKED: ["bad", "✕"],
  "NOT SENT": ["quiet", "–"],
};

function xdsRow(type: XdsTypeFacts, nowMs: number): readonly Part[] {
  const {
    typeUrl,
    state = "NOT SENT",
    version = "",
    versionSent = "",
    resourceCount,
    lastSentAtMs,
    lastAckedAtMs,
  } = type;
  const [mood, sign] = syncSigns[state];
  return [
    html`<b title="${typeUrl}">${typeName(typeUrl)}</b>`,
    html`<span class="signed ${mood}"><span class="sign" aria-hidden="true">${sign}</span>${state}</span>`,
    versionText(version),
    versionSent === version ? html`<span class="quiet">the same</span>` : versionText(versionSent),
    resourceCount,
    lastSentAtMs === undefined ? undefined : timeAgo(lastSentAtMs, nowMs),
    lastAckedAtMs === undefined ? undefined : timeAgo(lastAckedAtMs, nowMs),
  ];
}

function versionText(version: string): Html {
  return version === "" ? html`<span class="quiet">none</span>` : html`<span class="code">${version}</span>`;
}

export function certificateSection({ certificates, roots, nowMs }: Overview): Html {
  const rows = certificates.map(({ resourceName, spiffeId, serial, issuer, notAfterMs, nextRenewalAtMs }) => [
    resourceName,
    spiffeId,
    issuer,
    html`<span class="code">${serial}</span>`,
    timeIn(notAfterMs, nowMs),
    nextRenewalAtMs === undefined ? "by its provider" : timeIn(nextRenewalAtMs, nowMs),
  ]);
  const rootRows = roots.map(({ subject, trustDomain, notAfterMs, sha256 }) => [
    subject,
    trustDomain ?? "own",
    timeIn(notAfterMs, nowMs),
    html`<span class="code">${sha256}</span>`,
  ]);
  const held = table({
    id: "certificates",
    caption: "Certificates in use",
    head: ["name", "SPIFFE ID", "issuer", "serial", "expires", "next renewal"],
    rows,
    none: "no certificate",
  });
  const trusted = table({
    id: "roots",
    caption: "Trusted roots",
    head: ["root", "trust domain", "expires", "SHA-256 of the certificate"],
    rows: rootRows,
    none: "no roots",
  });
  return section("Certificate and trusted roots", html`${held}${trusted}`);
}

export function errorSection({ lastErrors, nowMs }: Overview): Html {
  const rows = lastErrors.map(({ atMs, level, scope, text }) => [
    timeAgo(atMs, nowMs),
    html`<span class="signed ${level === "error" ? "bad" : "warn"}"><span class="sign" aria-hidden="true">${level === "error" ? "✕" : "!"}</span>${level}</span>`,
    scope,
    text,
  ]);
  const head = ["when", "level", "scope", "message"];
  const shown = table({ id: "errors", caption: "Last warnings and errors", head, rows, none: "none since the start" });
  return section("Last warnings and errors of the agent", shown);
}

export function probeSection({ probes, nowMs }: Overview): Html {
  const rows = probes.map(({ path, kind, status, reason, durationMs, atMs }) => [
    path,
    kind,
    html`<span class="signed ${status < 400 ? "good" : "bad"}"><span class="sign" aria-hidden="true">${status < 400 ? "✓" : "✕"}</span>${status}</span>`,
    reason,
    `${String(durationMs)} ms`,
    timeAgo(atMs, nowMs),
  ]);
  const head = ["path", "kind", "response", "reason", "took", "when"];
  return section(
    "Application probes",
    table({ id: "probes", caption: "Last result of each probe", head, rows, none: "none yet" }),
  );
}

export function phaseSection({ readiness }: Overview): Html {
  const rows = readiness.phases.map(({ name, startMs, durationMs }) => [
    name,
    `${startMs.toFixed(1)} ms`,
    `+${durationMs.toFixed(1)} ms`,
  ]);
  const head = ["step", "from", "took"];
  return folded("Start", table({ id: "phases", caption: "Steps of the start", head, rows, none: "none yet" }));
}

/** Budgets that were used since the start. */
export function budgetSection({ budgets }: Overview): Html {
  const used = budgets.filter(({ peak, spentTotal }) => peak > 0 || spentTotal > 0);
  const rows = used.map(({ name, spec: { unit }, size, used: now, peak, spentTotal }) => [
    name,
    ...[now, peak, size].map((amount) => `${String(amount)}${unit === "bytes" ? " bytes" : ""}`),
    spentTotal === 0
      ? "never"
      : html`<span class="signed warn"><span class="sign" aria-hidden="true">!</span>${spentTotal} times</span>`,
  ]);
  const head = ["limit", "used", "peak", "of", "reached"];
  return folded(
    "Limits",
    table({ id: "budgets", caption: "Limits that were used", head, rows, none: "none used yet" }),
  );
}

function folded(title: string, content: Html): Html {
  return html`<section><details><summary><h2>${title}</h2></summary>${content}</details></section>`;
}
