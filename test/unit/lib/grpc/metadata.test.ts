// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import {
  decodeGrpcMessage,
  encodeGrpcMessage,
  formatGrpcTimeout,
  metadataOf,
  parseGrpcTimeout,
} from "../../../../src/lib/grpc/metadata.ts";
import { fc } from "../../../support/properties.ts";

test("a status message keeps printable ASCII and encodes the rest as UTF-8", () => {
  expect(encodeGrpcMessage("100% für\n")).toBe("100%25 f%C3%BCr%0A");
});

test("every text comes back from its encoded form, which is printable ASCII", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const encoded = encodeGrpcMessage(text);
      expect(encoded).toMatch(/^[ -~]*$/);
      expect(decodeGrpcMessage(encoded)).toBe(text);
    }),
  );
});

test("what is not a valid escape is left as it is", () => {
  expect(decodeGrpcMessage("50% off %zz %4")).toBe("50% off %zz %4");
});

test("a timeout has up to eight digits and one of six units", () => {
  expect(parseGrpcTimeout("1500m")).toBe(1_500);
  expect(parseGrpcTimeout("2H")).toBe(7_200_000);
  expect(parseGrpcTimeout("10u")).toBeCloseTo(0.01);
  for (const text of ["", "5", "m", "123456789m", "-1S", "1.5S"]) expect(parseGrpcTimeout(text)).toBeUndefined();
});

test("a written timeout is never shorter than the time meant", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e14, noNaN: true }), (ms) => {
      expect(parseGrpcTimeout(formatGrpcTimeout(ms))).toBeGreaterThanOrEqual(ms);
    }),
  );
});

test("metadata leaves out HTTP/2's own headers and joins repeated ones", () => {
  const headers = { ":path": "/a/b", clusterid: "", "x-a": "1", "set-cookie": ["1", "2"] };
  expect(metadataOf(headers)).toEqual({ clusterid: "", "x-a": "1", "set-cookie": "1,2" });
});
