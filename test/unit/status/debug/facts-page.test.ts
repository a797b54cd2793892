// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { jsonReply, textReply } from "../../../../src/status/call.ts";
import { forBrowser } from "../../../../src/status/debug/html/facts-page.ts";

const page = { path: "/debug/x", about: "what x is", nowMs: 0, links: [{ path: "/debug/y", about: "y" }] };
const bodyOf = (reply: ReturnType<typeof forBrowser>) => String(reply.body);

test("JSON is a list of facts for a browser, with links to the other pages", () => {
  const value = { name: "<i>", list: [{ a: 1, b: true }], none: null, empty: {}, text: "", lines: "a\nb" };
  const reply = forBrowser(jsonReply(200, value), page);
  expect(reply.headers?.["Content-Type"]).toMatch(/^text\/html/);
  const body = bodyOf(reply);
  expect(body).toContain("<dt>name</dt><dd>&#60;i&#62;</dd>");
  expect(body).toContain('<td data-label="a"><div>1</div></td><td data-label="b"><div>true</div></td>');
  expect(body).toContain("<pre>a\nb\n</pre>");
  expect(body).toContain('<a href="/debug/y">');
  expect(body).toContain("what x is");
});

test("depth and length of a page have an end, whatever the facts are", () => {
  let deep: unknown = 1;
  for (let level = 0; level < 50; level++) deep = [deep];
  expect(bodyOf(forBrowser(jsonReply(200, { deep }), page))).toContain("more in the JSON form");
  for (let level = 0; level < 500; level++) deep = [deep];
  expect(bodyOf(forBrowser(jsonReply(200, { deep }), page))).toContain("too much for a page");
  const many = Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`name-${String(index)}`, index]));
  const body = bodyOf(forBrowser(jsonReply(200, { many, list: Object.values(many) }), page));
  expect(body.match(/and 4800 more in the JSON form/g)).toHaveLength(2);
});

test("a time that is there in both forms is shown once, with how long ago it was", () => {
  const times = { sinceMs: 1_000, since: "1970-01-01T00:00:01.000Z", durationMs: 5 };
  const body = bodyOf(forBrowser(jsonReply(200, times), { ...page, nowMs: 61_000 }));
  expect(body).toMatch(/<dt>since<\/dt><dd><span class="code">1970-\S+<\/span> \(<time [^>]+>1 min ago</);
  expect(body).not.toContain("sinceMs");
  expect(body).toContain("<dt>durationMs</dt><dd>5</dd>");
});

test("text keeps its status, and a download stays one", () => {
  const missing = forBrowser(textReply(404, "not <here>"), page);
  expect([missing.status, bodyOf(missing).includes("not &#60;here&#62;")]).toEqual([404, true]);
  const download = {
    status: 200,
    headers: { "Content-Disposition": "attachment", "Content-Type": "application/json" },
  };
  expect(forBrowser({ ...download, body: "{}" }, page)).toEqual({ ...download, body: "{}" });
});
