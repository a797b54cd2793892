// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { DeltaDiscoveryRequest, DiscoveryRequest } from "../../../../src/gen/envoy/service/discovery/v3/discovery.ts";
import { nodeFacts, parseRequest, renderRequest } from "../../../../src/xds/protocol/request.ts";
import { textField, WireError } from "../../../../src/xds/protocol/wire.ts";
import { fc } from "../../../support/properties.ts";

const text = fc.string({ maxLength: 12 });
const texts = fc.array(text, { maxLength: 4 });

test("a state-of-the-world request equals that of the API's own codec", () => {
  const request = fc.record({ typeUrl: text, versionInfo: text, responseNonce: text, resourceNames: texts });
  fc.assert(
    fc.property(request, fc.option(text), (given, error) => {
      const errorDetail = error === null ? undefined : { code: 13, message: error };
      const message = DiscoveryRequest.fromPartial({ ...given, node: { id: "n" }, errorDetail });
      const parsed = parseRequest(DiscoveryRequest.encode(message).finish(), "sotw");
      expect(parsed).toMatchObject({ typeUrl: given.typeUrl, version: given.versionInfo, nonce: given.responseNonce });
      expect(parsed).toMatchObject({ subscribe: given.resourceNames, error: errorDetail });
      expect(DiscoveryRequest.decode(renderRequest(parsed, "sotw"))).toEqual(message);
    }),
  );
});

test("a delta request equals that of the API's own codec", () => {
  const names = fc.record({ resourceNamesSubscribe: texts, resourceNamesUnsubscribe: texts });
  const request = fc.record({ typeUrl: text, responseNonce: text, initialResourceVersions: fc.dictionary(text, text) });
  fc.assert(
    fc.property(request, names, (given, of) => {
      const message = DeltaDiscoveryRequest.fromPartial({ ...given, ...of });
      const parsed = parseRequest(DeltaDiscoveryRequest.encode(message).finish(), "delta");
      expect(parsed.subscribe).toEqual(of.resourceNamesSubscribe);
      expect(parsed.unsubscribe).toEqual(of.resourceNamesUnsubscribe);
      expect(DeltaDiscoveryRequest.decode(renderRequest(parsed, "delta"))).toEqual(message);
    }),
  );
});

test("unknown fields are kept", () => {
  const locator = Buffer.concat([Buffer.from([0x3a, 2]), Buffer.from("xx")]);
  const bytes = Buffer.concat([textField(4, "t"), locator]);
  expect(Buffer.from(renderRequest(parseRequest(bytes, "sotw"), "sotw"))).toEqual(bytes);
});

test("for any bytes, reading a request ends, and fails only with WireError", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom("sotw" as const, "delta" as const),
      (bytes, protocol) => {
        try {
          parseRequest(bytes, protocol);
        } catch (error) {
          expect(error).toBeInstanceOf(WireError);
        }
      },
    ),
    { numRuns: 50_000 },
  );
});

test("id and program of a node are read", () => {
  const node = Buffer.concat([textField(1, "sidecar~1"), textField(2, "c"), textField(6, "envoy")]);
  expect(nodeFacts(node)).toEqual({ id: "sidecar~1", userAgent: "envoy" });
});
