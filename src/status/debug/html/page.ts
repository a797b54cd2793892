// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import type { Reply } from "../../call.ts";
import { Html, html } from "./html.ts";
import { pageScript } from "./page-script.ts";
import { pageStyle } from "./page-style.ts";

export interface Page {
  readonly title: string;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** Colour of the icon in the browser's tab. */
  readonly mood: "good" | "bad" | "neutral";
  /** The page updates itself. */
  readonly isLive: boolean;
  readonly content: Html;
}

const icons: Readonly<Record<Page["mood"], string>> = { good: "1a7f37", bad: "cf222e", neutral: "6e7781" };

function iconUrl(mood: Page["mood"]): string {
  const circle = `<circle cx="8" cy="8" r="7" fill="#${icons[mood]}"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">${circle}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** A whole page. It loads nothing from elsewhere, and can be saved as one file. */
function renderPage({ title, nowMs, mood, isLive, content }: Page): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" id="icon" href="${iconUrl(mood)}">
<style>${new Html(pageStyle)}</style>
</head>
<body>
<div id="gone" role="alert" hidden><p><strong>The agent does not answer</strong> (<span id="gone-why"></span>). What is below is <span id="gone-for"></span> old, as of <time id="gone-last"></time>. It has exited, or the port is not forwarded any more; the page tries again every two seconds.</p></div>
<main data-now="${nowMs}"${isLive ? new Html(" data-live") : undefined}>
${content}
</main>
<script>${new Html(pageScript)}</script>
</body>
</html>
`.text;
}

/** Only this style and this script apply, whatever else may get into a page. */
const policy = [
  "default-src 'none'",
  `style-src ${hashOf(pageStyle)}`,
  `script-src ${hashOf(pageScript)}`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

export function pageReply(page: Page, status = 200): Reply {
  const headers = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": policy,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
  };
  return { status, headers, body: renderPage(page) };
}
