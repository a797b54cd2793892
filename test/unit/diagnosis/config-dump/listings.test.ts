// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { listEndpoints, listSecrets } from "../../../../src/diagnosis/config-dump/endpoint-listings.ts";
import { noFilters } from "../../../../src/diagnosis/config-dump/listing.ts";
import {
  listClusters,
  listListeners,
  listLogLevels,
  listRoutes,
} from "../../../../src/diagnosis/config-dump/listings.ts";
import { parseAgentLevels, parseLogLevels } from "../../../../src/diagnosis/config-dump/log-levels.ts";
import { listSections } from "../../../../src/diagnosis/config-dump/run-config.ts";
import type { JsonObject } from "../../../../src/lib/json.ts";
import { listingOptions, recordedSource, sourceOf } from "./dump-fixtures.ts";

test("what Envoy does not use is told, with its version and the reason", async () => {
  const clusters = await listClusters(recordedSource("crafted"), listingOptions());
  expect(clusters.notes).toEqual([
    "cluster outbound|9999||cold.shop.svc.cluster.local is warming (version 7): Envoy does not use it before what it depends on has arrived",
  ]);
  expect(clusters.rows.flat()).not.toContain("cold.shop.svc.cluster.local");
  const listeners = await listListeners(recordedSource("crafted"), listingOptions());
  expect(listeners.notes).toEqual([
    "listener web is warming (version 9): Envoy does not use it before what it depends on has arrived",
    "listener web: Envoy rejected the last update (version 10): error adding listener: bad",
  ]);
});

test("names without Istio's form are found by the ports of their endpoints, and extensions by their name", async () => {
  const filters = { ...noFilters, port: 5432 };
  const { rows } = await listClusters(recordedSource("crafted"), listingOptions({ filters }));
  expect(rows).toEqual([["a_static", "-", "-", "-", "STRICT_DNS", ""]]);
  const forward = { name: "dns", cluster_type: { name: "envoy.clusters.dynamic_forward_proxy" } };
  const srv = { name: "outbound_.443_.v1_.pay.shop.svc.cluster.local", type: "EDS" };
  const other = await listClusters(sourceOf([forward, srv]), listingOptions());
  expect(other.rows).toEqual([
    ["dns", "-", "-", "-", "envoy.clusters.dynamic_forward_proxy", ""],
    ["pay.shop.svc.cluster.local", "443", "v1", "outbound", "EDS", ""],
  ]);
});

test("a listener that selects its chains by a tree shows the way to each", async () => {
  const action = (name: string) => ({ action: { name } });
  const listener = {
    name: "main",
    address: { envoy_internal_address: {} },
    filter_chains: ["api", "db", "rest", "lost"].map((name) => ({ name, filters: [] })),
    filter_chain_matcher: {
      matcher_tree: {
        input: { name: "ip" },
        custom_match: {
          typed_config: {
            range_matchers: [
              {
                ranges: [
                  { address_prefix: "10.0.0.1", prefix_len: 32 },
                  { address_prefix: "10.1.0.0", prefix_len: 16 },
                ],
                on_match: {
                  matcher: {
                    matcher_tree: { input: { name: "port" }, exact_match_map: { map: { 80: action("api") } } },
                  },
                },
              },
              { ranges: [{ address_prefix: "::1", prefix_len: 128 }], on_match: action("db") },
            ],
          },
        },
      },
      on_no_match: action("rest"),
    },
  };
  const { rows } = await listListeners(sourceOf([listener]), listingOptions());
  expect(rows.map(([, , match]) => match)).toEqual([
    "ip=10.0.0.1 -> port=80",
    "ip=10.1.0.0/16 -> port=80",
    "ip=::1",
    "UNMATCHED",
    "NONE",
  ]);
});

test("routes of other kinds than istioctl knows show their match", async () => {
  const match = (value: JsonObject): JsonObject => ({ match: value, route: { cluster: "c" } });
  const routes = [
    match({ connect_matcher: {} }),
    match({ path_match_policy: { typed_config: { path_template: "/{a}" } } }),
  ];
  const document = [{ name: "r", virtual_hosts: [{ name: "v", domains: ["*"], routes }] }];
  const { rows } = await listRoutes(sourceOf(document), listingOptions());
  expect(rows.map(([, , , shown]) => shown)).toEqual(["CONNECT", "template /{a}"]);
});

test("secrets that are no certificates say what they are, and static ones are shown", async () => {
  const secrets = { dynamicActiveSecrets: [{ name: "t", secret: { name: "t", sessionTicketKeys: {} } }] };
  expect((await listSecrets(sourceOf(secrets), listingOptions())).rows).toEqual([
    ["t", "Session Tickets", "ACTIVE", "false", "", "", ""],
  ]);
  const { rows } = await listSecrets(recordedSource("crafted"), listingOptions());
  expect(rows.at(-1)?.slice(0, 3)).toEqual(["fixed", "CA", "STATIC"]);
});

test("counters of endpoints are no difference", async () => {
  const { items } = await listEndpoints(recordedSource("crafted", "clusters"), listingOptions());
  expect(Object.keys(items.get("a_static unix:///run/app.sock") ?? {})).toEqual(["healthStatus"]);
  expect(JSON.stringify([...items])).not.toContain("cx_total");
});

test("log levels of both programs are read from their lists", () => {
  const envoy = "active loggers:\n  admin: warning\n  conn_handler: off\n";
  expect(parseLogLevels("envoy", envoy)).toEqual([
    { program: "envoy", logger: "admin", level: "warning", isTemporary: false },
    { program: "envoy", logger: "conn_handler", level: "off", isTemporary: false },
  ]);
  const document = {
    scopes: [{ name: "sds", level: "debug", changed: true }],
    envoy: { loggers: [{ name: "admin", level: "info", changed: false }] },
  };
  expect(parseAgentLevels(JSON.stringify(document))).toEqual([
    { program: "agent", logger: "sds", level: "debug", isTemporary: true },
    { program: "envoy", logger: "admin", level: "info", isTemporary: false },
  ]);
  expect(parseAgentLevels("default: info\nsds: debug (temporary)\n")[1]).toMatchObject({ isTemporary: true });
});

test("a document of another kind does not pass for an empty configuration", async () => {
  const dump = sourceOf({ configs: [{ "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump" }] });
  expect((await listClusters(dump, listingOptions())).rows).toEqual([]);
  await expect(listRoutes(dump, listingOptions())).rejects.toThrow("a file has no routes");
  await expect(listEndpoints(dump, listingOptions())).rejects.toThrow(/a file has no endpoints; save it with/);
  await expect(async () => await listLogLevels(dump, listingOptions())).rejects.toThrow("a file has no log levels");
  const all = await listSections(dump, ["clusters", "routes"], listingOptions());
  expect(all.text).toBe("CLUSTERS\nNo clusters found.\n");
  expect(all.notes).toEqual(["a file has no routes"]);
});

test("a saved response to ?resource= is read as what it is", async () => {
  const entry = {
    "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster",
    cluster: { name: "one" },
  };
  const source = sourceOf({ configs: [entry] });
  expect((await listClusters(source, listingOptions())).rows.map(([name]) => name)).toEqual(["one"]);
  await expect(listRoutes(source, listingOptions())).rejects.toThrow("has no routes");
});

test("what was printed can be read again: each section, and all of them in one document", async () => {
  const source = recordedSource("sidecar-a");
  for (const list of [listClusters, listListeners, listRoutes, listSecrets]) {
    const first = await list(source, listingOptions());
    const again = await list(sourceOf(first.document ?? null), listingOptions());
    expect([again.rows, [...again.items]]).toEqual([first.rows, [...first.items]]);
  }
  const { document } = await listSections(
    source,
    ["clusters", "listeners", "routes", "secrets", "bootstrap"],
    listingOptions(),
  );
  for (const section of ["clusters", "listeners", "routes", "secrets", "bootstrap"] as const) {
    const first = await listSections(source, [section], listingOptions());
    const again = await listSections(sourceOf(document), [section], listingOptions());
    expect(again.text).toBe(first.text);
  }
});

test("of a whole dump, endpoints are those that the control plane sent", async () => {
  const all = await listSections(recordedSource("dev-web"), ["clusters", "endpoints"], listingOptions());
  expect(all.notes).toEqual([]);
  expect(all.text).toMatch(/\nENDPOINTS AS RECEIVED\nNAME +STATUS +LOCALITY +CLUSTER\n127/);
  expect(Object.keys(all.document ?? {})).toEqual(["clusters", "eds"]);
});
