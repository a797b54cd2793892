// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, objectsOf, textOf } from "../../lib/json.ts";
import type { DumpSource } from "./dump-source.ts";
import {
  compareEndpoints,
  type EndpointFilter,
  type EndpointRow,
  edsRows,
  endpointRows,
  filterAssignment,
  matchesClusterStatus,
} from "./endpoints.ts";
import { type Filters, type Listing, type ListingOptions, NamedItems, untyped, versionMembers } from "./listing.ts";
import { compareClusterNames } from "./names.ts";
import type { Resource } from "./resources.ts";
import { secretRows } from "./secrets.ts";

/** What Envoy knows of each endpoint, as `/clusters` shows it. */
export async function listEndpoints(source: DumpSource, { filters, keep }: ListingOptions): Promise<Listing> {
  const filter = endpointFilter(filters);
  const rows: EndpointRow[] = [];
  const documents: JsonObject[] = [];
  const named = new NamedItems();
  await source.visitClusterStatuses((status) => {
    if (!matchesClusterStatus(status, filter)) return;
    for (const row of endpointRows(status, filter)) rows.push(row);
    if (!keep) return;
    documents.push(status);
    for (const host of objectsOf(status["hostStatuses"])) {
      // Counters differ at each moment.
      const { stats: _stats, address: _address, ...facts } = host;
      const [row] = endpointRows({ ...status, hostStatuses: [host] }, filter);
      if (row !== undefined) named.add(`${row.cluster} ${row.endpoint}`, facts);
    }
  });
  return {
    head: ["endpoint", "status", "outlier check", "cluster"],
    rows: rows
      .sort(compareEndpoints)
      .map(({ endpoint, status, outlierCheck, cluster }) => [endpoint, status, outlierCheck, cluster]),
    document: keep ? documents : undefined,
    items: named.items,
    notes: [],
  };
}

/** The endpoints as the control plane sent them, with their locality. */
export async function listEds(source: DumpSource, { filters, keep }: ListingOptions): Promise<Listing> {
  const filter = endpointFilter(filters);
  const kept: { readonly name: string; readonly rows: string[][]; readonly config: JsonObject | undefined }[] = [];
  await source.visitResources("eds", undefined, ({ config }) => {
    const assignment = filterAssignment(untyped(config), filter);
    if (assignment === undefined) return;
    const rows = edsRows(assignment, filter).map((row) => [row.name, row.status, row.locality, row.cluster]);
    kept.push({ name: textOf(assignment["clusterName"]), rows, config: keep ? assignment : undefined });
  });
  kept.sort((a, b) => compareClusterNames(a.name, b.name));
  const named = new NamedItems();
  for (const { name, config } of kept) if (config !== undefined) named.add(name, config);
  return {
    head: ["name", "status", "locality", "cluster"],
    rows: kept.flatMap(({ rows }) => rows),
    document: keep ? kept.flatMap(({ config }) => config ?? []) : undefined,
    items: named.items,
    notes: [],
  };
}

function endpointFilter({ host: address, port, cluster, status }: Filters): EndpointFilter {
  return { address, port, cluster, status };
}

/** The order of istioctl: what Envoy waits for comes first. */
const stateOrder = ["warming", "active", "static"] as const;

/** Certificates, roots and other secrets; no part of a key. */
export async function listSecrets(source: DumpSource, { nowMs }: ListingOptions): Promise<Listing> {
  const found: Resource[] = [];
  await source.visitResources("secrets", undefined, (resource) => found.push(resource));
  const sorted = stateOrder.flatMap((state) => found.filter((resource) => resource.state === state));
  const rows = sorted.flatMap((resource) => secretRows(resource, nowMs));
  const hasTrustDomains = rows.length > 0 && rows.every(({ trustDomain }) => trustDomain !== "");
  const named = new NamedItems();
  for (const { resourceName, ...facts } of rows) named.add(resourceName, facts);
  const head = ["resource name", "type", "status", "valid cert", "serial number", "not after", "not before"];
  return {
    head: hasTrustDomains ? [...head, "trust domain"] : head,
    rows: rows.map((row) => {
      const { resourceName, type, status, validCert, serialNumber, notAfter, notBefore, trustDomain } = row;
      const cells = [resourceName, type, status, String(validCert), serialNumber, notAfter, notBefore];
      return hasTrustDomains ? [...cells, trustDomain] : cells;
    }),
    document: secretsDump(found),
    items: named.items,
    notes: [],
  };
}

/** An `envoy.admin.v3.SecretsConfigDump`. */
function secretsDump(found: readonly Resource[]): JsonValue {
  const entries = (wanted: Resource["state"]): readonly JsonObject[] =>
    found
      .filter(({ state }) => state === wanted)
      .map(({ config, version, lastUpdated }) => ({
        name: config["name"] ?? "",
        ...versionMembers(version, lastUpdated),
        secret: config,
      }));
  const all = {
    staticSecrets: entries("static"),
    dynamicActiveSecrets: entries("active"),
    dynamicWarmingSecrets: entries("warming"),
  };
  return Object.fromEntries(Object.entries(all).filter(([, list]) => list.length > 0));
}
