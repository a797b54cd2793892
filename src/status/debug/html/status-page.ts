// SPDX-License-Identifier: Apache-2.0
import type { Overview } from "../overview.ts";
import { typeName } from "../type-name.ts";
import { type Html, html, type Part, timeAgo, timeFor } from "./html.ts";
import type { Page } from "./page.ts";
import { factList } from "./status-facts.ts";
import {
  budgetSection,
  certificateSection,
  errorSection,
  phaseSection,
  probeSection,
  readinessSection,
  xdsSection,
} from "./status-sections.ts";

/** A page under /debug/ with what it shows. */
export interface PageLink {
  readonly path: string;
  readonly about: string;
}

const states = {
  ready: { word: "Ready", sign: "✓", mood: "good" },
  "not-ready": { word: "Not ready", sign: "✕", mood: "bad" },
  "shutting-down": { word: "Shutting down", sign: "■", mood: "neutral" },
} as const;

/** The page at `/`: what is wrong first. */
export function statusPage(overview: Overview, links: readonly PageLink[]): Page {
  const { headline, node, nowMs } = overview;
  const { word, sign, mood } = states[headline.state];
  const name = node === undefined || node.name === "" ? "this pod" : node.name;
  const isWarned = headline.state === "ready" && headline.cure !== undefined;
  const content = html`<header>
<p class="brand"><a href="/">attache</a></p>
<p class="pod"><b>${name}</b>${node === undefined ? undefined : ` in ${node.namespace}`}</p>
<p class="state ${mood}" id="state"><span class="sign" aria-hidden="true">${sign}</span>${word}</p>
</header>
<div id="headline" class="${isWarned ? "warn" : mood}" role="status">
<h1>${headline.sentence}</h1>${headline.cure === undefined ? undefined : html`<p id="cure"><b>What to do:</b> ${withCode(headline.cure)}</p>`}
</div>
${banner(overview)}${factList(overview)}
${readinessSection(overview)}
${xdsSection(overview)}
${certificateSection(overview)}
${errorSection(overview)}
${probeSection(overview)}
${phaseSection(overview)}
${budgetSection(overview)}
${linkSection(links)}`;
  return { title: `${word}: ${name} (attache)`, nowMs, mood, isLive: true, content };
}

/** Text between backticks is code. */
function withCode(text: string): readonly Part[] {
  return text.split("`").map((part, index) => (index % 2 === 0 ? part : html`<code>${part}</code>`));
}

/** While anything is rejected, served from a cache or not renewed: the headline has room for one of them only. */
function banner({ headline, xds, ca, nowMs }: Overview): Html | undefined {
  const rejected = (xds?.types ?? []).flatMap(({ typeUrl, readBy, refusal }) => {
    if (refusal === undefined) return [];
    const { sinceMs, reason, resources } = refusal;
    const names = resources.slice(0, 5).join(", ");
    const who = readBy === "agent" ? "The agent" : "Envoy";
    const what = names === "" ? undefined : html` (<b>${names}</b>${resources.length > 5 ? " and more" : undefined})`;
    return [
      html`<li>${who} rejects ${typeName(typeUrl)}${what}, for ${timeFor(sinceMs, nowMs)}: <span class="code">${reason}</span></li>`,
    ];
  });
  const { failingSinceMs, lastFailure, failuresInARow = 0 } = ca ?? {};
  const failing =
    failingSinceMs === undefined || lastFailure === undefined || headline.sentence.includes(lastFailure.reason)
      ? undefined
      : html`<li>No new certificate for ${timeFor(failingSinceMs, nowMs)}, ${failuresInARow} failed attempts: <span class="code">${lastFailure.reason}</span></li>`;
  const cache = xds?.cache;
  const cached =
    cache === undefined
      ? undefined
      : html`<li>Envoy is served from the cache, which was saved ${timeAgo(cache.savedAtMs, nowMs)}: the control plane does not respond.</li>`;
  if (rejected.length === 0 && failing === undefined && cached === undefined) return undefined;
  const title = rejected.length > 0 ? "Configuration is rejected" : "Not as it should be";
  return html`<div id="banner" class="banner" role="status"><h2>${title}</h2><ul>${rejected}${failing}${cached}</ul></div>
`;
}

export function linkSection(links: readonly PageLink[]): Html {
  const items = links.map(
    ({ path, about }) => html`<li><a href="${path}"><code>${path}</code></a><span>${about}</span></li>`,
  );
  return html`<section><h2>All pages</h2><nav aria-label="All pages"><ul>${items}</ul></nav></section>`;
}
