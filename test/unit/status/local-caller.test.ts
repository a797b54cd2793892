// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { isLoopbackAddress } from "../../../src/lib/net/ip-address.ts";
import { isLocalCaller } from "../../../src/status/local-caller.ts";

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
  expect(isLoopbackAddress(address)).toBe(expected);
});

const own = { remoteAddress: "127.0.0.1", localAddress: "127.0.0.1" };

test.each([
  ["from 127.0.0.1 to itself", own, true],
  ["over IPv6", { remoteAddress: "::1", localAddress: "::1" }, true],
  ["on a socket for both families", { remoteAddress: "::ffff:127.0.0.1", localAddress: "::ffff:127.0.0.1" }, true],
  ["from another pod", { remoteAddress: "10.1.2.4", localAddress: "10.1.2.3" }, false],
  ["from the pod's own address", { remoteAddress: "10.1.2.3", localAddress: "10.1.2.3" }, false],
  ["from loopback to the pod's address", { remoteAddress: "127.0.0.1", localAddress: "10.1.2.3" }, false],
  ["from Envoy's address for captured traffic", { ...own, remoteAddress: "127.0.0.6" }, false],
  ["from Envoy's address, on a socket for both families", { ...own, remoteAddress: "::ffff:127.0.0.6" }, false],
  ["from Envoy's IPv6 address for captured traffic", { remoteAddress: "::6", localAddress: "::1" }, false],
  ["without addresses", {}, false],
])("a connection %s is local: %s", (_title, socket, expected) => {
  expect(isLocalCaller({ socket, headers: { host: "localhost" } })).toBe(expected);
});

test.each([
  [{ host: "localhost:15020" }, true],
  [{ host: "LOCALHOST" }, true],
  [{ host: "127.0.0.1:15020" }, true],
  [{ host: "[::1]:15020" }, true],
  [{ host: "[::1]" }, true],
  [{}, true],
  [{ host: "" }, false],
  [{ host: "rebound.evil.example:15020" }, false],
  [{ host: "127-0-0-1.evil.example" }, false],
  [{ host: "localhost.evil.example" }, false],
  [{ host: "10.1.2.3:15020" }, false],
  [{ host: "[0:0:0:0:0:0:0:1]:15020" }, true],
  [{ host: "127.999.999.999" }, false],
  [{ host: "localhost." }, false],
  [{ host: "localhost@evil.example" }, false],
  [{ host: "evil.example@localhost" }, false],
  [{ host: "localhost:15020", origin: "http://localhost:15020" }, true],
  [{ host: "localhost:15020", origin: "http://localhost:3000" }, false],
  [{ host: "localhost:15020", origin: "http://evil.example" }, false],
  [{ host: "localhost:15020", origin: "null" }, false],
  [{ host: "evil.example", origin: "http://evil.example" }, false],
  [{ host: "localhost", "sec-fetch-site": "same-origin" }, true],
  [{ host: "localhost", "sec-fetch-site": "none" }, true],
  [{ host: "localhost", "sec-fetch-site": "same-site" }, false],
  [{ host: "localhost", "sec-fetch-site": "cross-site" }, false],
  [{ host: "localhost", "x-forwarded-proto": "http" }, false],
  [{ host: "localhost", "x-envoy-external-address": "10.1.2.4" }, false],
  [{ host: "localhost", via: "1.1 proxy" }, false],
])("a request on loopback with %j is local: %s", (headers, expected) => {
  expect(isLocalCaller({ socket: own, headers })).toBe(expected);
});

test.each([
  [["localhost"], "/drain", true],
  [["localhost", "127.0.0.1:15020"], "/drain", true],
  [["localhost", "evil.example"], "/drain", false],
  [["localhost"], "http://localhost:15020/drain", true],
  [["localhost"], "http://evil.example/drain", false],
  [["localhost"], "http://localhost@evil.example/drain", false],
  [["evil.example"], "http://localhost/drain", false],
])("a request on loopback for %j with the target %s is local: %s", (host, url, expected) => {
  const request = { socket: own, headers: { host: host[0] ?? "" }, headersDistinct: { host }, url };
  expect(isLocalCaller(request)).toBe(expected);
});
