// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Browser, type BrowserPage, startBrowser } from "../../support/browser.ts";
import { eventually } from "../../support/eventually.ts";
import { type SceneName, startScene } from "../../support/status-scenes.ts";
import { startStatus } from "./status-fixture.ts";

const desktop = { width: 1_100, height: 900 };
const phone = { width: 390, height: 844, isPhone: true };
const within = { withinMs: 15_000 };

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
});

const textOf = (page: BrowserPage, selector: string) =>
  page.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);

const styleOf = (page: BrowserPage, selector: string, property: string) =>
  page.evaluate(
    `getComputedStyle(document.querySelector(${JSON.stringify(selector)})).getPropertyValue("${property}")`,
  );

/** Whether something is wider than the screen, so that the page would have to be moved sideways. */
const overflows = (page: BrowserPage) =>
  page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth");

interface Expectation {
  readonly headline: RegExp;
  readonly state: string;
  readonly cure: RegExp;
  readonly banner: RegExp;
  readonly text: RegExp;
}

const expected: Readonly<Record<SceneName, Expectation>> = {
  healthy: {
    headline: /^The pod is ready\.$/,
    state: "Ready",
    cure: /^$/,
    banner: /^$/,
    text: /valid for 23 h.*connected for.*LIVE.*clusters \(CDS\)\s*✓SYNCED/s,
  },
  "refused route": {
    headline: /^The pod is ready, but Envoy rejects routes \(RDS\): .*domain shop/,
    state: "Ready",
    cure: /^What to do: Correct or remove the resource/,
    banner: /Envoy rejects routes \(RDS\) \(shop\), for \d+ s: Only unique values/,
    text: /✕NACKED/,
  },
  "expired certificate": {
    headline: /^The certificate expired at \S+Z and was not renewed: .*refused/,
    state: "Not ready",
    cure: /^What to do: attache doctor in this container checks token, roots/,
    banner: /^$/,
    text: /✕expired \d+ s ago.*✕localhost:\d+\s+istio\s+fails for/s,
  },
  "no Envoy": {
    headline: /^Envoy does not run: Envoy failed with exit code 3/,
    state: "Not ready",
    cure: /Envoy's binary, ports and limits\.$/,
    banner: /^$/,
    text: /restarts?, last failure: exit code 3/,
  },
  "no token": {
    headline: /^No certificate yet: .*istio-token does not exist/,
    state: "Not ready",
    cure: /^What to do: /,
    banner: /^$/,
    text: /workers have not yet started/,
  },
};

const names = Object.keys(expected) as SceneName[];

test.each(names)(
  "%s: the page names it, on a desk, on a phone and in the dark, under its own policy",
  async (name) => {
    await using scene = await startScene(name);
    const page = await browser.page(desktop);
    await page.open(scene.url);
    const { headline, state, cure, banner, text } = expected[name];
    // without being loaded again: the page brings itself up to date
    await eventually(async () => {
      expect(await textOf(page, "#headline h1")).toMatch(headline);
      expect(await page.text()).toMatch(text);
    }, within);
    expect(await textOf(page, "#state")).toMatch(new RegExp(`${state}$`));
    expect(await textOf(page, "#cure")).toMatch(cure);
    expect(await textOf(page, "#banner")).toMatch(banner);
    expect([await overflows(page), await styleOf(page, "#readiness", "list-style-type")]).toEqual([false, "none"]);
    await page.resize(phone);
    expect([await overflows(page), await styleOf(page, "thead", "position")]).toEqual([false, "absolute"]);
    const light = await styleOf(page, "body", "background-color");
    await page.resize({ ...desktop, scheme: "dark" });
    expect(await styleOf(page, "body", "background-color")).not.toBe(light);
    expect(page.problems).toEqual([]);
  },
  60_000,
);

test("an opened part, the focus and a selection survive the page's own updates", async () => {
  let reads = 0;
  const certificates = () => {
    reads++;
    return [{ resourceName: "default", spiffeId: `spiffe://c/ns/a/sa/${String(reads)}`, notAfterMs: Date.now() + 9e6 }];
  };
  await using status = await startStatus({}, { inspect: { certificates } });
  const page = await browser.page(desktop);
  await page.open(status.url("/"));
  await page.evaluate(`document.querySelector("details").open = true; document.querySelector("nav a").focus();
    getSelection().selectAllChildren(document.querySelector("#readiness"))`);
  const shownAtFirst = await textOf(page, "#certificates");
  await eventually(async () => {
    expect(await textOf(page, "#certificates")).not.toBe(shownAtFirst);
  }, within);
  expect(await page.evaluate(`[document.querySelector("details").open, document.activeElement.tagName]`)).toEqual([
    true,
    "A",
  ]);
  expect(await page.evaluate("getSelection().toString()")).toMatch(/admin interface/);
  expect(await page.evaluate(`document.querySelectorAll("main").length`)).toBe(1);
  expect(page.problems).toEqual([]);
}, 60_000);

test("an agent that goes away leaves its last answer with its age, and the page goes on when it is back", async () => {
  const page = await browser.page(desktop);
  let port: number;
  {
    await using status = await startStatus();
    port = status.port;
    await page.open(status.url("/"));
    expect(await styleOf(page, "#gone", "display")).toBe("none");
  }
  await eventually(async () => {
    expect(await textOf(page, "#gone")).toMatch(
      /^The agent does not answer \(the connection failed\)\. What is below is \d+ s old, as of \d+:\d\d/,
    );
  }, within);
  expect(await page.evaluate("document.title")).toMatch(/^No answer: /);
  expect(await textOf(page, "#headline h1")).toBe("The pod is ready.");
  await using back = await startStatus({ port });
  await eventually(async () => {
    expect(await styleOf(page, "#gone", "display")).toBe("none");
  }, within);
  expect(await page.evaluate("document.title")).toBe("Ready: this pod (attache)");
  expect(back.port).toBe(port);
}, 60_000);

test("debug pages are HTML in a browser, each reached by a link, and what programs get does not change", async () => {
  const inspect = { node: () => ({ id: "sidecar~10.1.2.3", "<b>": ["x"] }) };
  await using status = await startStatus({}, { inspect });
  const page = await browser.page(desktop);
  await page.open(status.url("/"));
  const links = await page.evaluate(`[...document.querySelectorAll("nav a")].map((link) => link.pathname)`);
  expect(links).toEqual(expect.arrayContaining(["/debug/node", "/debug/readiness", "/debug/overview"]));
  await page.open(status.url("/debug/node"));
  expect(await page.text()).toMatch(/id\s+sidecar~10\.1\.2\.3\s+<b>\s+x/);
  await page.open(status.url("/debug/"));
  expect(await page.text()).toMatch(/\/debug\/node\s+the node as the control plane knows it/);
  expect(page.problems).toEqual([]);
  const answer = await fetch(status.url("/debug/node"));
  expect([answer.headers.get("content-type"), await answer.json()]).toEqual(["application/json", inspect.node()]);
  expect(await (await fetch(status.url("/debug/"))).text()).toMatch(/^\/debug\/readiness {2,}why/);
}, 60_000);
