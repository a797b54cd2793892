// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { bothExpected, findAdmin, findExpectedUpdates } from "../../../src/model/bootstrap-facts.ts";

const usual = { host: "127.0.0.1", port: 15_000 };
const socket = (fields: object) => ({ admin: { address: { socket_address: fields } } }) as never;
const pipe = (path: string) => ({ admin: { address: { pipe: { path } } } });

test.each([
  ["nothing", [], undefined, { kind: "none" }],
  ["nothing over the generated one", [{}], usual, { kind: "found", address: usual }],
  [
    "another port",
    [socket({ port_value: 9901 })],
    usual,
    { kind: "found", address: { host: "127.0.0.1", port: 9901 } },
  ],
  [
    "a port as text",
    [socket({ portValue: "9901", address: "::1" })],
    usual,
    { kind: "found", address: { host: "::1", port: 9901 } },
  ],
  [
    "all addresses",
    [socket({ address: "0.0.0.0", port_value: 1 })],
    undefined,
    { kind: "found", address: { host: "127.0.0.1", port: 1 } },
  ],
  [
    "all IPv6 addresses",
    [socket({ address: "::", port_value: 1 })],
    undefined,
    { kind: "found", address: { host: "::1", port: 1 } },
  ],
  ["a socket", [pipe("a.sock")], usual, { kind: "found", address: { socketPath: "a.sock" } }],
  [
    "a socket, then a port",
    [pipe("a.sock"), socket({ address: "127.0.0.1", port_value: 2 })],
    undefined,
    { kind: "found", address: { host: "127.0.0.1", port: 2 } },
  ],
  ["a random port", [socket({ port_value: 0 })], usual, { kind: "unusable" }],
  ["a named port", [socket({ address: "127.0.0.1", named_port: "admin" })], undefined, { kind: "unusable" }],
  ["fields of null", [{ admin: null }], usual, { kind: "found", address: usual }],
])("B12: the admin interface of a bootstrap with %s", (_title, documents, generated, found) => {
  expect(findAdmin(documents, generated)).toEqual(found);
});

const matcher = (stats_matcher: object) => ({ stats_config: { stats_matcher } }) as never;
const included = (...patterns: readonly object[]) => matcher({ inclusion_list: { patterns } });
const needed = [{ prefix: "cluster_manager" }, { contains: "_manager.lds" }, { suffix: "workers_started" }];

test.each([
  ["nothing", [{}], false, { kind: "known", clusters: false, listeners: false }],
  ["nothing over the generated one", [{}], true, bothExpected],
  [
    "listeners",
    [{ dynamic_resources: { lds_config: {} } }],
    false,
    { kind: "known", clusters: false, listeners: true },
  ],
  [
    "clusters, by a locator",
    [{ dynamicResources: { cdsResourcesLocator: "xdstp://x" } }],
    false,
    { kind: "known", clusters: true, listeners: false },
  ],
  ["all stats hidden", [matcher({ reject_all: true })], true, { kind: "hidden" }],
  [
    "the needed stats kept",
    [included(...needed, { exact: "server.state" })],
    false,
    { kind: "known", clusters: false, listeners: false },
  ],
  [
    "the needed stats kept, in other letter case",
    [included(...needed, { exact: "SERVER.STATE", ignore_case: true })],
    false,
    { kind: "known", clusters: false, listeners: false },
  ],
  ["one of them hidden", [included(...needed, { exact: "server.live" })], false, { kind: "hidden" }],
  [
    "one of them excluded",
    [matcher({ exclusion_list: { patterns: [{ safe_regex: { regex: "server\\..*" } }] } })],
    false,
    { kind: "hidden" },
  ],
  ["others excluded", [matcher({ exclusion_list: { patterns: [{ prefix: "http." }] } })], true, bothExpected],
  ["more patterns than the generated one", [included({ prefix: "mine" })], true, bothExpected],
])("B11: what an Envoy receives with %s", (_title, documents, isGenerated, expected) => {
  expect(findExpectedUpdates(documents, isGenerated)).toEqual(expected);
});
