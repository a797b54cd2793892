// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import {
  acceptsOpenMetrics,
  commonFormat,
  parseScrapeFormat,
  renderContentType,
  scrapeBudget,
  upstreamAccept,
} from "../../../src/metrics/negotiation.ts";
import { looksLikeMetrics } from "../../../src/metrics/target-fetch.ts";
import { chooseCoding } from "../../../src/status/content-coding.ts";

const prometheus =
  "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," +
  "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";

test.each([
  [
    prometheus,
    "text/plain;version=0.0.4;q=0.1",
    "application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.1",
  ],
  ["*/*", "text/plain;version=0.0.4;q=0.1", "text/plain;version=0.0.4;q=0.1"],
  ["application/*", "text/plain;version=0.0.4", "application/openmetrics-text;version=0.0.1;q=0.1"],
  ["application/vnd.google.protobuf", "text/plain;version=0.0.4", "text/plain;version=0.0.4"],
  ["/", "text/plain;version=0.0.4", "text/plain;version=0.0.4"],
  ["", "text/plain;version=0.0.4", "text/plain;version=0.0.4"],
  [undefined, "text/plain;version=0.0.4", "text/plain;version=0.0.4"],
])("M6 Accept %j", (header, envoy, app) => {
  expect([upstreamAccept(header, false), upstreamAccept(header, true)]).toEqual([envoy, app]);
  expect(acceptsOpenMetrics(header)).toBe(app.includes("openmetrics"));
});

test.each([
  [
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
    "application/openmetrics-text; version=1.0.0; charset=utf-8",
  ],
  ["application/openmetrics-text;version=0.0.1", "application/openmetrics-text; version=0.0.1; charset=utf-8"],
  ["application/openmetrics-text", "application/openmetrics-text; version=0.0.1; charset=utf-8"],
  ["text/plain; version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"],
  ["application/json", "text/plain; version=0.0.4; charset=utf-8"],
  ["", "text/plain; version=0.0.4; charset=utf-8"],
  [undefined, "text/plain; version=0.0.4; charset=utf-8"],
])("M4 an application that responds with %j", (contentType, expected) => {
  expect(renderContentType(commonFormat([parseScrapeFormat(contentType)], true))).toBe(expected);
});

test("M11 M12 the response is OpenMetrics when all targets that succeeded agree on its version", () => {
  const one = { kind: "openmetrics", version: "1.0.0" } as const;
  const old = { kind: "openmetrics", version: "0.0.1" } as const;
  const text = { kind: "text" } as const;
  expect(commonFormat([one, one], true)).toBe(one);
  for (const formats of [[one, old], [one, text], [text, one], []]) expect(commonFormat(formats, true)).toEqual(text);
  expect(commonFormat([one], false)).toEqual(text);
});

test.each([
  [undefined, undefined],
  ["identity", undefined],
  ["gzip", "gzip"],
  ["zstd", "zstd"],
  ["gzip, zstd", "zstd"],
  ["gzip;q=1, zstd;q=0.5", "gzip"],
  ["gzip;q=0", undefined],
  ["br, lz4", undefined],
  ["*", undefined],
  ["gzip;q=x", undefined],
])("M5 Accept-Encoding %j", (header, coding) => {
  expect(chooseCoding(header)).toBe(coding);
});

test.each([
  [undefined, 3_000],
  ["10", 9_800],
  ["0.5", 450],
  ["0", 0],
  ["abc", 3_000],
  ["-1", 3_000],
])("a scraper that waits %s seconds gets its response within %s ms", (seconds, responseMs) => {
  const budget = scrapeBudget(seconds);
  expect(budget.responseMs).toBe(responseMs);
  expect(budget.targetMs).toBeLessThanOrEqual(responseMs * 0.9);
});

test.each([
  ["", true],
  ["\n\n# TYPE a counter\n", true],
  ["a 1\n", true],
  ['# HELP a\r\na{b="c"} 1\r\n', true],
  ['{"a.b",c="d"} 1\n', true],
  ['{"a.b"} 1\n', true],
  ["<!doctype html>\n", false],
  ['{"error": "no"}\n', false],
  ["404 page not found\n", false],
  ["\u0000\u0001", false],
])("the body %j looks like metrics: %s", (body, expected) => {
  expect(looksLikeMetrics(body)).toBe(expected);
});
