// SPDX-License-Identifier: Apache-2.0
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import {
  duration,
  html,
  isoTime,
  table,
  timeAgo,
  timeFor,
  timeIn,
  timeLeft,
} from "../../../../src/status/debug/html/html.ts";
import { pageScript } from "../../../../src/status/debug/html/page-script.ts";

const hostile = `<script>alert("1")</script>' onload='x' & \u202egnp.exe\u0007`;

test("text becomes an element or an attribute nowhere, and its control characters are shown", () => {
  const { text } = html`<p title="${hostile}">${hostile}${[hostile, html`<b>${hostile}</b>`]}${undefined}${3}</p>`;
  expect(text.match(/<\/?\w+/g)).toEqual(["<p", "<b", "</b", "</p"]);
  expect(text).not.toMatch(/[\u202e\u0007']/);
  expect(text.match(/"/g)).toHaveLength(2);
  expect(text).toContain("\\u202e");
  expect(text).toMatch(/3<\/p>$/);
});

test.each([
  [0, "0 s", "0 s"],
  [59_999, "59 s", "59 s"],
  [61_000, "1 min", "1 min 1 s"],
  [3_600_000, "1 h", "1 h"],
  [90_000_000, "1 d", "1 d 1 h"],
  [20 * 86_400_000 + 3_600_000, "20 d", "20 d"],
  [-5, "0 s", "0 s"],
])("%i ms are %s, or %s", (ms, short, long) => {
  expect([duration(ms, 1), duration(ms, 2)]).toEqual([short, long]);
});

test("the script of the page writes durations as the agent does", () => {
  const start = pageScript.indexOf("function duration");
  const source = pageScript.slice(start, pageScript.indexOf("\n}\n", start) + 2);
  const inPage = runInNewContext(`(${source})`) as typeof duration;
  for (let ms = -1_000; ms < 30 * 86_400_000; ms = ms * 3 + 2_017) {
    expect([inPage(ms, 1), inPage(ms, 2)]).toEqual([duration(ms, 1), duration(ms, 2)]);
  }
});

test("a time has its exact form on hover", () => {
  const exact = 'datetime="1970-01-01T00:00:10.000Z" title="1970-01-01T00:00:10.000Z"';
  expect(timeAgo(10_000, 70_000).text).toBe(`<time ${exact} data-time="ago">1 min ago</time>`);
  expect(timeFor(10_000, 70_000).text).toBe(`<time ${exact} data-time="for">1 min</time>`);
  expect(timeIn(10_000, 0).text).toBe(`<time ${exact} data-time="in">in 10 s</time>`);
  expect(timeIn(10_000, 19_999).text).toBe(`<time ${exact} data-time="in">now</time>`);
  expect(timeIn(10_000, 20_000).text).toBe(`<time ${exact} data-time="ago">10 s ago</time>`);
  expect(timeLeft(10_000, 0).text).toBe(`<time ${exact} data-time="left">10 s</time>`);
  expect(timeLeft(10_000, 11_000).text).toMatch(/>1 s ago</);
  expect(isoTime(Number.MAX_VALUE)).toBe(String(Number.MAX_VALUE));
});

test("each cell of a table has its heading, for cards on a phone, and there is an end to the rows", () => {
  const shown = { id: "t", caption: "things", head: ["name", "size"], none: "nothing" };
  expect(table({ ...shown, rows: [] }).text).toBe('<p id="t" class="quiet">nothing</p>');
  const { text } = table({ ...shown, rows: Array.from({ length: 150 }, (_, index) => [String(index), "<b>"]) });
  expect(text).toContain('<td data-label="name"><div>99</div></td><td data-label="size"><div>&#60;b&#62;</div></td>');
  expect(text).not.toContain(">100<");
  expect(text).toMatch(/and 50 more<\/p>$/);
});
