// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { appAuthority, forwardedHeaders, nextRedirect } from "../../../../src/status/probes/http-probe.ts";

test.each([
  ["pod:15020", "pod:8080"],
  ["[fd00::7]:15020", "[fd00::7]:8080"],
  ["test.com:9999", "test.com:9999"],
  ["test.com", "test.com"],
  ["", "10.0.0.1:8080"],
  [undefined, "10.0.0.1:8080"],
])("the kubelet's Host %s becomes %s", (host, expected) => {
  expect(appAuthority(host, { statusPort: 15_020, appPort: 8_080, authority: "10.0.0.1:8080" })).toBe(expected);
});

test("headers of the connection are not forwarded; a close is added unless connections are kept", () => {
  const rawHeaders = ["Host", "a", "X-A", "1", "x-a", "2", "Connection", "x", "Content-Length", "3", "Te", "trailers"];
  const request = { rawHeaders, headers: { "user-agent": "kube-probe/1.34" } };
  expect(forwardedHeaders(request, false)).toEqual(["X-A", "1", "x-a", "2", "Te", "trailers", "Connection", "close"]);
  expect(forwardedHeaders({ rawHeaders: [], headers: {} }, true)).toEqual(["User-Agent", "attache-probe"]);
});

test.each(["Host", "Connection", "Keep-Alive", "Content-Length", "Transfer-Encoding", "Expect", "EXPECT"])(
  "%s is not forwarded",
  (name) => {
    const request = { rawHeaders: [name, "x"], headers: { "user-agent": "kube-probe/1.34" } };
    expect(forwardedHeaders(request, true)).toEqual([]);
  },
);

test.each([
  [302, "/next", 1, { kind: "follow", absolute: false }],
  [307, "https://10.0.0.1:8443/x", 9, { kind: "follow", absolute: true }],
  [301, "//10.0.0.1/x", 1, { kind: "follow" }],
  [302, "/next", 10, { kind: "fail" }],
  [302, "http://other/", 1, { kind: "stop" }],
  [302, "http://10.0.0.1.evil/", 1, { kind: "stop" }],
  [302, undefined, 1, { kind: "stop" }],
  [304, "/next", 1, { kind: "stop" }],
  [300, "/next", 1, { kind: "stop" }],
  [302, "http://[", 1, { kind: "fail" }],
  [302, "ftp://10.0.0.1/", 1, { kind: "fail" }],
])("a %s to %s after %s requests", (status, location, made, expected) => {
  expect(nextRedirect(status, location, new URL("http://10.0.0.1:8080/start"), made)).toMatchObject(expected);
});
