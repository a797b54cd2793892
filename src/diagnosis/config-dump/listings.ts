// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, textOf } from "../../lib/json.ts";
import { bootstrapFacts } from "./bootstrap.ts";
import { type ClusterRow, clusterRow, matchesCluster } from "./clusters.ts";
import type { DumpSource } from "./dump-source.ts";
import {
  compareListeners,
  compareText,
  listenerAddresses,
  listenerPort,
  listenerRows,
  listenerType,
  matchesListener,
} from "./listeners.ts";
import { type Listing, type ListingOptions, NamedItems, noteOf, untyped, versionMembers } from "./listing.ts";
import { compareClusterNames } from "./names.ts";
import { isInUse, type ResourceType } from "./resources.ts";
import { compareRouteNames, routeRows } from "./routes.ts";

type ReadListing = (source: DumpSource, options: ListingOptions) => Promise<Listing>;

/** A resource in use, reduced to its rows unless all of it is kept. */
interface Kept<Row> {
  readonly name: string;
  readonly row: Row;
  readonly config: JsonObject | undefined;
}

interface CollectOptions<Row> {
  readonly source: DumpSource;
  readonly type: ResourceType;
  /** For one of them, in notes. */
  readonly kind: string;
  readonly keep: boolean;
  /** Filters at the source. */
  readonly names?: string | undefined;
  readonly nameOf: (config: JsonObject) => string;
  readonly matches: (config: JsonObject) => boolean;
  readonly rowOf: (config: JsonObject) => Row;
}

async function collect<Row>(options: CollectOptions<Row>): Promise<{ kept: Kept<Row>[]; notes: string[] }> {
  const { source, type, kind, keep, names, nameOf, matches, rowOf } = options;
  const kept: Kept<Row>[] = [];
  const notes: string[] = [];
  await source.visitResources(type, names, (resource) => {
    const config = untyped(resource.config);
    if (!matches(config)) return;
    const name = nameOf(config);
    const note = noteOf(kind, name, resource);
    if (note !== undefined) notes.push(note);
    if (isInUse(resource)) kept.push({ name, row: rowOf(config), config: keep ? config : undefined });
  });
  return { kept, notes };
}

/** Documents and items of what was kept. */
function keptParts(kept: readonly Kept<unknown>[], keep: boolean): Pick<Listing, "document" | "items"> {
  const named = new NamedItems();
  const configs = kept.flatMap(({ name, config }) => {
    if (config !== undefined) named.add(name, config);
    return config ?? [];
  });
  return { document: keep ? configs : undefined, items: named.items };
}

/** A regular expression for names that contain a text. */
function containing(text: string): string | undefined {
  return text === "" ? undefined : `.*${escapePattern(text)}.*`;
}

function escapePattern(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}

function plainName(config: JsonObject): string {
  return textOf(config["name"]);
}

export const listClusters: ReadListing = async (source, { filters, keep }) => {
  const { kept, notes } = await collect<ClusterRow>({
    ...{ source, type: "clusters", kind: "cluster", keep, names: containing(filters.fqdn), nameOf: plainName },
    matches: (cluster) => matchesCluster(cluster, filters),
    rowOf: clusterRow,
  });
  kept.sort((a, b) => compareClusterNames(a.name, b.name));
  return {
    head: ["service fqdn", "port", "subset", "direction", "type", "destination rule"],
    rows: kept.map(({ row }) => [row.serviceFqdn, row.port, row.subset, row.direction, row.type, row.destinationRule]),
    ...keptParts(kept, keep),
    notes,
  };
};

export const listListeners: ReadListing = async (source, { filters, keep, verbose }) => {
  const { host: address, port, type } = filters;
  const { kept, notes } = await collect<{ rows: readonly (readonly string[])[]; order: JsonObject }>({
    ...{ source, type: "listeners", kind: "listener", keep, nameOf: listenerName },
    matches: (listener) => matchesListener(listener, { address, port, type }),
    rowOf: (listener) => ({ rows: verbose ? chainCells(listener) : [listenerCells(listener)], order: listener }),
  });
  const sorted = kept.toSorted((a, b) => compareListeners(a.row.order, b.row.order));
  return {
    head: verbose ? ["addresses", "port", "match", "destination"] : ["addresses", "port", "type"],
    rows: sorted.flatMap(({ row }) => row.rows),
    ...keptParts(kept, keep),
    notes,
  };
};

/** A listener of a file may have no name. */
function listenerName(listener: JsonObject): string {
  return plainName(listener) || `${listenerAddresses(listener)[0] ?? ""}_${String(listenerPort(listener))}`;
}

function chainCells(listener: JsonObject): readonly (readonly string[])[] {
  return listenerRows(listener).map(({ addresses, port, match, destination }) => {
    return [addresses, String(port), match, destination];
  });
}

function listenerCells(listener: JsonObject): readonly string[] {
  return [listenerAddresses(listener).join(","), String(listenerPort(listener)), listenerType(listener)];
}

export const listRoutes: ReadListing = async (source, { filters: { name }, keep, verbose }) => {
  const { kept, notes } = await collect<readonly (readonly string[])[]>({
    ...{ source, type: "routes", kind: "route", keep, nameOf: routeName },
    names: name === "" ? undefined : escapePattern(name),
    matches: (config) => name === "" || plainName(config) === name,
    rowOf: (config) => (verbose ? routeCells(config) : [[plainName(config), String(hostsOf(config).length)]]),
  });
  const sorted = kept.toSorted((a, b) => compareRouteNames(a.name, b.name));
  return {
    head: verbose ? ["name", "vhost name", "domains", "match", "virtual service"] : ["name", "virtual hosts"],
    rows: sorted.flatMap(({ row }) => row),
    ...keptParts(sorted, keep),
    notes,
  };
};

function routeCells(config: JsonObject): readonly (readonly string[])[] {
  return routeRows(config).map((row) => [row.name, row.vhostName, row.domains, row.match, row.virtualService]);
}

function hostsOf(config: JsonObject): readonly unknown[] {
  return Array.isArray(config["virtualHosts"]) ? config["virtualHosts"] : [];
}

/** Routes within a listener have no name. */
function routeName(config: JsonObject): string {
  return plainName(config) || `(in a listener: ${routeRows(config)[0]?.match ?? "no route"})`;
}

const typePrefix = /^.*\//;

export const listExtensions: ReadListing = async (source, { keep }) => {
  const rows: (readonly [name: string, type: string])[] = [];
  const ecdsFilters: JsonObject[] = [];
  const named = new NamedItems();
  await source.visitResources("ecds", undefined, ({ config, version, lastUpdated }) => {
    rows.push([plainName(config), textOf(objectOf(config["typedConfig"])["@type"]).replace(typePrefix, "")]);
    if (!keep) return;
    named.add(plainName(config), untyped(config));
    ecdsFilters.push({ ...versionMembers(version, lastUpdated), ecdsFilter: config });
  });
  return {
    head: ["ecds name", "type"],
    rows: rows.sort(([a, typeA], [b, typeB]) => compareText(typeA, typeB) || compareText(a, b)),
    document: keep ? { ecdsFilters } : undefined,
    items: named.items,
    notes: [],
  };
};

export const listBootstrap: ReadListing = async (source) => {
  const dump = untyped(await source.readBootstrap());
  const bootstrap = objectOf(dump["bootstrap"]);
  return {
    head: ["fact", "value"],
    rows: bootstrapFacts(bootstrap).map(({ label, value }) => [label, value]),
    document: dump,
    items: new Map([["bootstrap", bootstrap]]),
    notes: [],
  };
};

export const listLogLevels: ReadListing = async (source) => {
  const levels = await source.readLogLevels();
  const shown = levels.map((row) => ({ ...row, note: row.isTemporary ? "temporary" : "" }));
  return {
    head: ["program", "logger", "level", "note"],
    rows: shown.map(({ program, logger, level, note }) => [program, logger, level, note]),
    document: levels.map((row) => ({ ...row })),
    items: new Map(levels.map(({ program, logger, level }) => [`${program} ${logger}`, level])),
    notes: [],
  };
};
