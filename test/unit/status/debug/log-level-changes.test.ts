// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseLogLevelChanges } from "../../../../src/status/debug/log-level-changes.ts";

const minuteMs = 60_000;

test("scopes of the agent, loggers of Envoy and the duration", () => {
  expect(parseLogLevelChanges("sds=debug&citadelclient=warning&envoy:http=trace&for=1m")).toEqual({
    scopes: new Map([
      ["sds", "debug"],
      ["ca", "warn"],
    ]),
    envoy: [{ logger: "http", level: "trace" }],
    durationMs: minuteMs,
  });
});

test.each([
  ["envoy=trace", [["envoy", "debug"]], [{ logger: undefined, level: "trace" }]],
  ["envoy=off", [["envoy", "none"]], [{ logger: undefined, level: "off" }]],
  ["envoy:pool=warn", [], [{ logger: "pool", level: "warning" }]],
  ["level=error", [["default", "error"]], []],
  ["sds=reset&envoy:http=reset", [["sds", undefined]], [{ logger: "http", level: undefined }]],
])("%s", (query, scopes, envoy) => {
  expect(parseLogLevelChanges(query)).toEqual({ scopes: new Map(scopes as []), envoy, durationMs: 10 * minuteMs });
});

test("0 is until a restart", () => {
  expect(parseLogLevelChanges("sds=debug&for=0")).toMatchObject({ durationMs: undefined });
});

test.each([
  ["sds=debgu", 'sds: "debgu" is not a level (did you mean debug?); the levels are debug, info,'],
  ["sdss=debug", 'unknown scope "sdss" (did you mean sds?); the scopes are all, default, ca,'],
  ["nothing=debug", 'unknown scope "nothing"; the scopes are'],
  ["sds=debug&for=1y", "for must be a duration such as 5m, up to 24h; 0 is until a restart"],
  ["sds=debug&for=-1s", "for must be a duration"],
  ["sds=debug&for=25h", "for must be a duration"],
])("%s is a problem", (query, problem) => {
  expect(parseLogLevelChanges(query)).toEqual(expect.stringContaining(problem));
});
