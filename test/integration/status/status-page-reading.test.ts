// SPDX-License-Identifier: Apache-2.0
// Whether the page can be read: by people who see little, on small screens, and whatever peers have written.
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Inspection } from "../../../src/status/index.ts";
import { type Browser, type BrowserPage, startBrowser } from "../../support/browser.ts";
import { startStatus } from "./status-fixture.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
});

const hostile = `"><img src=x onerror="document.title='taken'"><script>document.title="taken"</script>\u202e`;
const text = `${hostile} ${"very-long-word".repeat(30)}`;
const failure = { atMs: 1_000, reason: text };
const refusal = { version: text, sinceMs: 1_000, resources: [text, text], reason: text };

/** Everything that the page shows, each text as bad as a peer can make it. */
const inspect: Inspection = {
  version: text,
  agent: () => ({ version: text, revision: text, node: "26", pid: 1, startedAtMs: 0 }),
  envoy: () =>
    Promise.resolve({
      version: text,
      state: text,
      pid: 1,
      startedAtMs: 0,
      restarts: { count: 2, hotRestarts: 1, failedHotRestarts: 1, failures: 2, lastFailure: text },
      adminAddress: text,
    }),
  workload: () => ({ id: text, cluster: text, name: text, namespace: text, serviceAccount: text }),
  ca: () => ({
    kind: text,
    address: text,
    lastSuccessAtMs: 1,
    lastFailure: failure,
    failingSinceMs: 1,
    failuresInARow: 3,
  }),
  controlPlane: () => ({ address: text, connected: false, sinceMs: 1, lastResponseAtMs: 1, lastFailure: failure }),
  certificates: () => [
    {
      resourceName: text,
      spiffeId: text,
      serial: text,
      issuer: text,
      notAfterMs: Date.now() + 9e9,
      nextRenewalAtMs: 1,
    },
  ],
  roots: () => [{ subject: text, notAfterMs: 8.64e15, sha256: "ab".repeat(32), trustDomain: text }],
  xds: () => ({
    connected: false,
    types: [
      { typeUrl: text, version: text, versionSent: text, state: "NACKED", lastSentAtMs: 1, resourceCount: 1, refusal },
      { typeUrl: "t/a.b.Cluster", version: "1", versionSent: "1", state: "SYNCED" },
      { typeUrl: "t/a.b.Listener", version: "1", versionSent: "2", state: "STALE" },
      { typeUrl: "t/a.b.NameTable", state: "NOT SENT", readBy: "agent" },
    ],
    cache: { servingSinceMs: 1, savedAtMs: 1 },
  }),
  lastErrors: () => [
    { atMs: 1, level: "error", scope: "xdsproxy", text },
    { atMs: 1, level: "warn", scope: "healthcheck", text },
  ],
};

/** The lowest contrast between a text and what is behind it. Source: WCAG 2.2, 1.4.3, relative luminance */
const lowestContrast = `(() => {
  const numbers = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const [red, green, blue, alpha = 1] = numbers(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [red, green, blue];
    }
    return [255, 255, 255];
  };
  const shown = [...document.querySelectorAll("body *")].filter((element) =>
    element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim() !== ""));
  const found = shown.map((element) => {
    const [one, other] = [light(numbers(getComputedStyle(element).color)), light(behind(element))];
    return { ratio: (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), where: element.outerHTML.slice(0, 80) };
  });
  return found.sort((left, right) => left.ratio - right.ratio)[0];
})()`;

/** Headings of tables are clipped on a phone, where each cell has its own. */
const overflow = `[...document.querySelectorAll("body *:not(thead, thead *, caption)")].filter((element) =>
  element.checkVisibility() && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((element) => element.outerHTML.slice(0, 80))`;

async function openHostilePage(): Promise<AsyncDisposable & { readonly page: BrowserPage }> {
  const status = await startStatus({}, { inspect });
  status.readiness.hold("identity", text);
  status.readiness.note("renewal", text);
  const page = await browser.page({ width: 1_100, height: 900 });
  await page.open(status.url("/"));
  return { page, [Symbol.asyncDispose]: () => status[Symbol.asyncDispose]() };
}

test("text of peers runs nothing and widens nothing, on a desk, a tablet and the smallest phone", async () => {
  await using opened = await openHostilePage();
  const { page } = opened;
  for (const width of [1_100, 768, 600, 320]) {
    await page.resize({ width, height: 800, isPhone: width < 700 });
    expect(await page.evaluate(overflow), `${String(width)} px`).toEqual([]);
  }
  expect(await page.evaluate("document.title")).toMatch(/^Not ready: "><img/);
  expect(await page.evaluate(`document.querySelectorAll("img").length`)).toBe(0);
  expect(await page.text()).toContain("\\u202e");
  expect(page.problems).toEqual([]);
}, 60_000);

test("every text has a contrast of 4.5 to 1 at least, in the light and in the dark", async () => {
  await using opened = await openHostilePage();
  const { page } = opened;
  await page.evaluate(`for (const part of document.querySelectorAll("details")) part.open = true`);
  for (const scheme of ["light", "dark"] as const) {
    await page.resize({ width: 1_100, height: 900, scheme });
    const { ratio, where } = (await page.evaluate(lowestContrast)) as {
      readonly ratio: number;
      readonly where: string;
    };
    expect(ratio, `${scheme}: ${where}`).toBeGreaterThan(4.5);
  }
}, 60_000);

test("headings, tables, signs and times have what a screen reader and a keyboard need", async () => {
  await using opened = await openHostilePage();
  const { page } = opened;
  const levels = await page.evaluate(`[...document.querySelectorAll("h1, h2, h3")].map(({ tagName }) => tagName)`);
  expect(levels).toEqual(["H1", ...(levels as string[]).slice(1).fill("H2")]);
  const without = (selector: string) => page.evaluate(`document.querySelectorAll(${JSON.stringify(selector)}).length`);
  expect(await without("table:not(:has(> caption)), th:not([scope]), td:not([data-label])")).toBe(0);
  expect(await without(".sign:not([aria-hidden], [role=img][aria-label])")).toBe(0);
  expect(await without("time:not([datetime][title]):not(#gone-last)")).toBe(0);
  // each sign stands beside its word
  expect(await page.text()).toMatch(/✕NACKED.*✓SYNCED.*…STALE.*–NOT SENT/s);
  await page.evaluate(`document.querySelector("nav a").focus({ focusVisible: true })`);
  expect(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")).toBe("solid");
}, 60_000);
