// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import {
  acceptedEscaping,
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
  expect(renderContentType(commonFormat([parseScrapeFormat(contentType)], prometheus))).toBe(expected);
});

test("M11 M12 C18 the response is OpenMetrics when a target that succeeded sends it, so that its exemplars are kept", () => {
  const one = { kind: "openmetrics", version: "1.0.0" } as const;
  const old = { kind: "openmetrics", version: "0.0.1" } as const;
  const text = { kind: "text" } as const;
  expect(commonFormat([one, one], prometheus)).toEqual(one);
  for (const formats of [
    [one, text],
    [text, one],
  ])
    expect(commonFormat(formats, prometheus)).toEqual(one);
  expect(commonFormat([one, old], prometheus)).toEqual(old);
  for (const formats of [[text, text], []]) expect(commonFormat(formats, prometheus)).toEqual(text);
  expect(commonFormat([one], "text/plain")).toEqual(text);
});

const prometheus3 =
  "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5," +
  "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
const openUtf8 = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const textUtf8 = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
const openPlain = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const textPlain = "text/plain; version=0.0.4; charset=utf-8";

test.each([
  [[openUtf8], prometheus3, openUtf8],
  [[openUtf8, openPlain], prometheus3, openUtf8],
  [[openUtf8, textPlain], prometheus3, openUtf8],
  [[textUtf8], prometheus3, textUtf8],
  [[textPlain], prometheus3, textPlain],
  [[openPlain], prometheus3, openPlain],
  [["application/openmetrics-text; version=1.0.0; escaping=dots"], prometheus3, openPlain],
  [[openUtf8], prometheus, openPlain],
  [[textUtf8], prometheus, textPlain],
])("C18: targets with %j for a scraper that accepts %.60s", (types, accept, expected) => {
  expect(renderContentType(commonFormat(types.map(parseScrapeFormat), accept))).toBe(expected);
});

test("C18: the scraper decides how names are written, and formats that no parser here reads are not requested", () => {
  expect([acceptedEscaping(prometheus3, "openmetrics"), acceptedEscaping(prometheus3, "text")]).toEqual([
    "allow-utf-8",
    "allow-utf-8",
  ]);
  expect(acceptedEscaping(prometheus, "text")).toBe("underscores");
  expect(acceptedEscaping("text/plain;version=1.0.0;escaping=values", "text")).toBe("values");
  expect(acceptedEscaping("text/plain;escaping=dots", "openmetrics")).toBe("underscores");
  expect(upstreamAccept("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4", true)).toBe(
    "text/plain;version=0.0.4;q=0.1",
  );
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
  ["\u00ef\u00bb\u00bfa 1\n", true],
  ["\u0000\u0001", false],
])("the body %j looks like metrics: %s", (body, expected) => {
  expect(looksLikeMetrics(body)).toBe(expected);
});
