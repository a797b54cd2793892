// SPDX-License-Identifier: Apache-2.0

/**
 * The script of the pages. It updates the times each second, and the content every two seconds by the page's own HTML, as
 * long as somebody looks. What has not changed stays the same element: focus, selection and opened parts are kept. When
 * the agent does not respond, the content stays and a banner says how old it is.
 */
export const pageScript = `"use strict";
const everyMs = 2000, withinMs = 8000;
const main = document.querySelector("main");
const gone = document.getElementById("gone");
let answeredAt = Date.now();
let skewMs = Date.now() - Number(main.dataset.now);
let loading = false;

function duration(ms, most) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const counts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"]];
  const first = counts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return counts.slice(first, first + (counts[0][0] >= 10 ? 1 : most)).filter(([count], index) => index === 0 || count > 0).map(([count, unit]) => count + " " + unit).join(" ");
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showTimes() {
  const now = Date.now() - skewMs;
  for (const element of document.querySelectorAll("time[data-time]")) {
    const at = Date.parse(element.dateTime);
    if (Number.isNaN(at)) continue;
    const kind = element.dataset.time;
    if (at > now && (kind === "left" || kind === "in")) setText(element, (kind === "in" ? "in " : "") + duration(at - now, 2));
    else if (kind === "in" && now - at < 10000) setText(element, "now");
    else setText(element, duration(now - at, 1) + (kind === "for" ? "" : " ago"));
  }
  if (!gone.hidden) setText(document.getElementById("gone-for"), duration(Date.now() - answeredAt, 2));
}

function sameKind(left, right) {
  return left.nodeType === right.nodeType && left.nodeName === right.nodeName && left.id === right.id;
}

function update(shown, next) {
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    if (shown.nodeValue !== next.nodeValue) shown.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...shown.attributes]) if (!next.hasAttribute(name) && name !== "open") shown.removeAttribute(name);
  for (const { name, value } of next.attributes) if (shown.getAttribute(name) !== value && name !== "open") shown.setAttribute(name, value);
  const [before, after] = [[...shown.childNodes], [...next.childNodes]];
  after.forEach((child, index) => {
    const old = before[index];
    if (old === undefined) shown.append(child);
    else if (sameKind(old, child)) update(old, child);
    else old.replaceWith(child);
  });
  before.slice(after.length).forEach((child) => child.remove());
}

function isGone(problem) {
  const at = new Date(answeredAt);
  const last = document.getElementById("gone-last");
  setText(document.getElementById("gone-why"), problem);
  last.dateTime = last.title = at.toISOString();
  setText(last, at.toLocaleTimeString());
  gone.hidden = false;
  document.body.classList.add("old");
  if (!document.title.startsWith("No answer")) document.title = "No answer: " + document.title;
}

async function refresh() {
  if (loading || document.hidden) return;
  loading = true;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(withinMs) });
    if (!response.ok) throw new Error("it answers " + response.status);
    const next = new DOMParser().parseFromString(await response.text(), "text/html");
    const content = next.querySelector("main");
    if (content === null) throw new Error("another program answers");
    answeredAt = Date.now();
    skewMs = answeredAt - Number(content.dataset.now);
    update(main, content);
    document.title = next.title;
    document.getElementById("icon").href = next.getElementById("icon").href;
    gone.hidden = true;
    document.body.classList.remove("old");
  } catch (error) {
    isGone(error instanceof TypeError ? "the connection failed" : error.name === "TimeoutError" ? "it is too slow" : error.message);
  } finally {
    loading = false;
    showTimes();
  }
}

setInterval(showTimes, 1000);
if ("live" in main.dataset) {
  setInterval(refresh, everyMs);
  document.addEventListener("visibilitychange", refresh);
}
showTimes();
`;
