// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { isLoopback } from "../../../src/status/call.ts";
import { hasQueryFlag } from "../../../src/status/readiness/readiness-route.ts";
import { parseRequestTarget } from "../../../src/status/routes.ts";

test.each([
  ["/healthz/ready", { kind: "path", path: "/healthz/ready", query: "" }],
  ["/healthz/ready?verbose&x=/../", { kind: "path", path: "/healthz/ready", query: "verbose&x=/../" }],
  ["/healthz/ready/", { kind: "path", path: "/healthz/ready/", query: "" }],
  ["/app-health/%6fk/livez", { kind: "path", path: "/app-health/ok/livez", query: "" }],
  ["/a/%2e%2e/quitquitquit", { kind: "path", path: "/a/../quitquitquit", query: "" }],
  ["/a/%252e%252e/%2571uit", { kind: "path", path: "/a/%2e%2e/%71uit", query: "" }],
  ["/a/..%2fquitquitquit", { kind: "path", path: "/a/../quitquitquit", query: "" }],
  ["/healthz/ready/../../quitquitquit", { kind: "unclean", location: "/quitquitquit" }],
  ["//quitquitquit?a=b", { kind: "unclean", location: "/quitquitquit?a=b" }],
  ["/a/./b/", { kind: "unclean", location: "/a/b/" }],
  ["/a/..", { kind: "unclean", location: "/" }],
  ["/..", { kind: "unclean", location: "/" }],
  ["http://pod:15020/drain?x", { kind: "path", path: "/drain", query: "x" }],
  ["http://pod:15020", { kind: "path", path: "/", query: "" }],
  ["http://pod/../drain", { kind: "unclean", location: "/drain" }],
  ["/\\..\\quitquitquit", { kind: "path", path: "/\\..\\quitquitquit", query: "" }],
  ["*", { kind: "malformed" }],
  ["", { kind: "malformed" }],
  ["quitquitquit", { kind: "malformed" }],
  ["/%", { kind: "malformed" }],
  ["/%c3%28", { kind: "malformed" }],
])("the target %s", (target, expected) => {
  expect(parseRequestTarget(target)).toEqual(expected);
});

test.each([
  ["127.0.0.1", true],
  ["127.0.0.6", true],
  ["127.255.255.255", true],
  ["::1", true],
  ["::ffff:127.0.0.1", true],
  ["::FFFF:127.0.0.6", true],
  ["::6", false],
  ["10.1.2.3", false],
  ["8.8.8.8", false],
  ["::ffff:10.1.2.3", false],
  ["127.0.0.1.evil", false],
  ["", false],
  [undefined, false],
])("C3 the peer %s is on loopback: %s", (address, expected) => {
  expect(isLoopback(address)).toBe(expected);
});

test("a flag in a query counts with and without a value", () => {
  expect(
    ["verbose", "a=1&verbose", "verbose=true", "nonverbose", ""].map((query) => hasQueryFlag(query, "verbose")),
  ).toEqual([true, true, true, false, false]);
});
