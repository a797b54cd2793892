// SPDX-License-Identifier: Apache-2.0
import type { BudgetFacts } from "../../lib/budget-set.ts";
import type { Overview } from "./overview.ts";
import type { ProbeResult } from "../probes/app-probe-route.ts";
import type { PhaseSpan, ReadinessCheck } from "../readiness/readiness-report.ts";
import type { CertificateFacts, XdsFacts } from "../inspection.ts";

/** The whole page. It loads nothing from elsewhere and updates itself every two seconds. */
export function renderStatusPage(overview: Overview): string {
  const { readiness, drain, version } = overview;
  const state = readiness.ready ? "ready" : "not ready";
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>attache: ${state}</title>
<style>${style}</style>
</head>
<body>
<main>
<header><h1>attache</h1><p id="state" class="${readiness.ready ? "passed" : "failed"}">${state}</p>
<p id="drain">${escapeHtml(drain)}</p><p class="quiet">${escapeHtml(version ?? "")}</p></header>
<section><h2>Readiness</h2><ul id="readiness">${readiness.checks.map(checkItem).join("")}</ul></section>
<section><h2>Certificates</h2>${certificateTable(overview.certificates, overview.nowMs)}</section>
<section><h2>Configuration (xDS)</h2>${xdsTable(overview.xds)}</section>
<section><h2>Application probes</h2>${probeTable(overview.probes)}</section>
<section><h2>Budgets</h2>${budgetTable(overview.budgets)}</section>
<section><h2>Start</h2>${phaseTable(readiness.phases)}</section>
<footer class="quiet"><a href="/debug/">/debug/</a> <a href="/stats/prometheus">/stats/prometheus</a></footer>
</main>
<script>${script}</script>
</body>
</html>
`;
}

/** For text from other programs, such as error messages. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (char) => `&#${String(char.charCodeAt(0))};`);
}

/** A duration for a person, in its two largest units. */
export function formatTimeLeft(ms: number): string {
  if (ms < 0) return `expired ${formatTimeLeft(-ms)} ago`;
  const seconds = Math.floor(ms / 1_000);
  const units = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
    seconds % 60,
  ];
  const names = ["d", "h", "min", "s"];
  const first = units.findIndex((count) => count > 0);
  if (first < 0) return "0 s";
  const shown = [first, first + 1].filter((index) => index < units.length);
  return shown.map((index) => `${String(units[index])} ${names[index] ?? ""}`).join(" ");
}

function checkItem({ name, state, detail, sinceMs, children = [] }: ReadinessCheck): string {
  const since = sinceMs === undefined ? "" : ` <small>since ${new Date(sinceMs).toISOString()}</small>`;
  const why = detail === undefined ? "" : `: ${escapeHtml(detail)}`;
  const below = children.length === 0 ? "" : `<ul>${children.map(checkItem).join("")}</ul>`;
  return `<li class="${state}"><b>${escapeHtml(name)}</b>${why}${since}${below}</li>`;
}

function certificateTable(certificates: readonly CertificateFacts[], nowMs: number): string {
  const rows = certificates.map(({ resourceName, spiffeId = "", serial = "", notAfterMs }) => {
    const left = formatTimeLeft(notAfterMs - nowMs);
    return [resourceName, spiffeId, serial, new Date(notAfterMs).toISOString(), left];
  });
  return table("certificates", ["name", "SPIFFE ID", "serial", "expires", "time left"], rows, "none");
}

function xdsTable(xds: XdsFacts | undefined): string {
  const rows = (xds?.types ?? []).map(({ typeUrl, version = "", refusal }) => {
    const type = typeUrl.slice(typeUrl.lastIndexOf(".") + 1);
    if (refusal === undefined) return [type, version, "", "", "", ""];
    const { version: rejected, sinceMs, resources, reason } = refusal;
    return [
      type,
      version,
      rejected === "" ? "yes" : rejected,
      new Date(sinceMs).toISOString(),
      resources.join(", "),
      reason,
    ];
  });
  const none = xds === undefined ? "not proxied by this agent" : "nothing requested yet";
  const head = ["type", "version in use", "version rejected", "since", "resources", "Envoy's reason"];
  return xdsState(xds) + table("xds", head, rows, none);
}

function xdsState(xds: XdsFacts | undefined): string {
  if (xds === undefined) return "";
  const { connected, cache } = xds;
  const stream = connected ? "connected to the control plane" : "no stream to a control plane";
  const [savedAt = "", since = ""] =
    cache === undefined ? [] : [cache.savedAtMs, cache.servingSinceMs].map((ms) => new Date(ms).toISOString());
  const served = cache === undefined ? "" : `; served from the cache of ${savedAt} since ${since}`;
  return `<p id="xds-state" class="${cache === undefined ? "quiet" : "failed"}">${stream}${served}</p>`;
}

function probeTable(probes: readonly ProbeResult[]): string {
  const rows = probes.map(({ path, kind, status, reason = "", durationMs, atMs }) => {
    return [path, kind, String(status), reason, `${String(durationMs)} ms`, new Date(atMs).toISOString()];
  });
  return table("probes", ["path", "kind", "response", "reason", "took", "at"], rows, "none yet");
}

/** Budgets that were used since the start. */
function budgetTable(budgets: readonly BudgetFacts[]): string {
  const rows = budgets
    .filter(({ peak, spentTotal }) => peak > 0 || spentTotal > 0)
    .map(({ name, spec: { unit }, size, used, peak, spentTotal }) => [
      name,
      ...[used, peak, size].map((amount) => `${String(amount)}${unit === "bytes" ? " bytes" : ""}`),
      String(spentTotal),
    ]);
  return table("budgets", ["name", "used", "peak", "limit", "times spent"], rows, "none used yet");
}

function phaseTable(phases: readonly PhaseSpan[]): string {
  const rows = phases.map(({ name, startMs, durationMs }) => [
    name,
    `${startMs.toFixed(1)} ms`,
    `+${durationMs.toFixed(1)} ms`,
  ]);
  return table("phases", ["step", "from", "took"], rows, "none yet");
}

function table(id: string, head: readonly string[], rows: readonly (readonly string[])[], none: string): string {
  if (rows.length === 0) return `<p id="${id}" class="quiet">${none}</p>`;
  const cells = (tag: string, texts: readonly string[]): string =>
    texts.map((text) => `<${tag}>${escapeHtml(text)}</${tag}>`).join("");
  const body = rows.map((row) => `<tr>${cells("td", row)}</tr>`).join("");
  return `<table id="${id}"><thead><tr>${cells("th", head)}</tr></thead><tbody>${body}</tbody></table>`;
}

const style = `
:root { color-scheme: light dark; --passed: #1a7f37; --failed: #cf222e; --not-counted: #9a6700; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem; }
header { display: flex; gap: 1rem; align-items: baseline; flex-wrap: wrap; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 1.5rem 0 .4rem; }
header p { margin: 0; } #state { font-weight: 600; }
.quiet { opacity: .65; } small { opacity: .65; }
p.failed { color: var(--failed); }
#state.passed { color: var(--passed); } #state.failed { color: var(--failed); }
#readiness, #readiness ul { list-style: none; padding-left: 1.3rem; margin: 0; }
#readiness li::before { content: "\\2713"; margin-left: -1.2rem; width: 1.2rem; display: inline-block; color: var(--passed); }
#readiness li.failed::before { content: "\\2717"; color: var(--failed); }
#readiness li.not-counted::before { content: "~"; color: var(--not-counted); }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .2rem .8rem .2rem 0; overflow-wrap: break-word; }
th { font-weight: 500; opacity: .65; border-bottom: 1px solid #8886; } section { overflow-x: auto; }
footer { margin-top: 2rem; } a { color: inherit; margin-right: 1rem; }
`;

/** Fetches the page again and replaces its content. A lost connection is shown. */
const script = `
async function refresh() {
  try {
    const response = await fetch("/", { headers: { Accept: "text/html" } });
    const next = new DOMParser().parseFromString(await response.text(), "text/html");
    document.title = next.title;
    document.querySelector("main").replaceWith(next.querySelector("main"));
  } catch {
    document.title = "attache: gone";
    const state = document.getElementById("state");
    state.textContent = "the agent does not respond";
    state.className = "failed";
  }
  setTimeout(refresh, 2000);
}
setTimeout(refresh, 2000);
`;
