// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { shortTypeName, typeUrls } from "../../../../src/xds/protocol/type-url.ts";

test("a type has the short name of Istio and Envoy", () => {
  expect([typeUrls.cluster, typeUrls.nameTable].map(shortTypeName)).toEqual(["cds", "nds"]);
});

test.each(["", "constructor", "__proto__", "toString", "type.googleapis.com/google.protobuf.Any"])(
  "the unknown type %j has the same name as all others",
  (typeUrl) => {
    expect(shortTypeName(typeUrl)).toBe("other");
  },
);
