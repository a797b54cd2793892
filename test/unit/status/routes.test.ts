// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
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
