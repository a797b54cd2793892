// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseForwardedClientCert } from "../../../src/dev/prove-mtls.ts";

test("the caller's identity and certificate are parsed from the header that Envoy forwards", () => {
  const header =
    'By=spiffe://cluster.local/ns/demo/sa/api;Hash=abc1;Subject="";URI=spiffe://cluster.local/ns/demo/sa/web';
  expect(parseForwardedClientCert(header)).toEqual({ uri: "spiffe://cluster.local/ns/demo/sa/web", hash: "abc1" });
});

test("a request that did not come through Envoy has no caller", () => {
  expect(parseForwardedClientCert("")).toEqual({ uri: "", hash: "" });
});
