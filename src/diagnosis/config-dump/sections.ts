// SPDX-License-Identifier: Apache-2.0
import type { DumpSource } from "./dump-source.ts";
import { listEds, listEndpoints, listSecrets } from "./endpoint-listings.ts";
import type { Filters, Listing, ListingOptions } from "./listing.ts";
import { listBootstrap, listClusters, listExtensions, listListeners, listLogLevels, listRoutes } from "./listings.ts";

/** A part of Envoy's configuration that has a table. */
export interface Section {
  readonly title: string;
  /** What istioctl calls it too. */
  readonly aliases: readonly string[];
  readonly filters: readonly (keyof Filters)[];
  readonly list: (source: DumpSource, options: ListingOptions) => Promise<Listing>;
}

/** By the word of the command line. */
export const sections = {
  clusters: {
    title: "clusters",
    aliases: ["cluster", "c"],
    filters: ["fqdn", "port", "direction", "subset"],
    list: listClusters,
  },
  listeners: { title: "listeners", aliases: ["listener", "l"], filters: ["host", "port", "type"], list: listListeners },
  routes: { title: "routes", aliases: ["route", "r"], filters: ["name"], list: listRoutes },
  endpoints: {
    title: "endpoints",
    aliases: ["endpoint", "ep"],
    filters: ["host", "port", "cluster", "status"],
    list: listEndpoints,
  },
  eds: { title: "endpoints as received", aliases: [], filters: ["host", "port", "cluster", "status"], list: listEds },
  secrets: { title: "secrets", aliases: ["secret", "s"], filters: [], list: listSecrets },
  ecds: { title: "extension configurations", aliases: ["ec"], filters: [], list: listExtensions },
  bootstrap: { title: "bootstrap", aliases: ["b"], filters: [], list: listBootstrap },
  log: { title: "log levels", aliases: ["o"], filters: [], list: listLogLevels },
} as const satisfies Readonly<Record<string, Section>>;

export type SectionName = keyof typeof sections;

/** What `all` shows, in this order. */
export const allSections: readonly SectionName[] = [
  "bootstrap",
  "clusters",
  "listeners",
  "routes",
  "secrets",
  "endpoints",
];

/** The sections that a word means; undefined for an unknown one. */
export function findSections(word: string): readonly SectionName[] | undefined {
  if (word === "all" || word === "a") return allSections;
  const found = sectionNames.find((name) => name === word || isAlias(name, word));
  return found === undefined ? undefined : [found];
}

export const sectionNames: readonly SectionName[] = [
  "clusters",
  "listeners",
  "routes",
  "endpoints",
  "eds",
  "secrets",
  "ecds",
  "bootstrap",
  "log",
];

function isAlias(name: SectionName, word: string): boolean {
  const { aliases }: Section = sections[name];
  return aliases.includes(word);
}
