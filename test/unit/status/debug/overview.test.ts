// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { withIsoTimes } from "../../../../src/status/debug/overview.ts";

const facts = { since: "x", sinceMs: 0, durationMs: 5, nested: [{ lastSentAtMs: 1_000, none: undefined }] };

test("times are ISO 8601 in JSON, durations stay as they are, and what is not known is left out", () => {
  expect(withIsoTimes({ startedAtMs: 0, durationMs: 5, parts: facts.nested, none: undefined }, "iso")).toEqual({
    startedAt: "1970-01-01T00:00:00.000Z",
    durationMs: 5,
    parts: [{ lastSentAt: "1970-01-01T00:00:01.000Z" }],
  });
});

test("facts that programs already read keep their milliseconds", () => {
  expect(withIsoTimes({ notAfterMs: 1_000 }, "both")).toEqual({
    notAfterMs: 1_000,
    notAfter: "1970-01-01T00:00:01.000Z",
  });
});

test.each([Number.POSITIVE_INFINITY, Number.NaN, 1e17])("a time of %s is no date, and no error", (notAfterMs) => {
  expect(withIsoTimes({ notAfterMs }, "iso")).toEqual({ notAfterMs });
});
