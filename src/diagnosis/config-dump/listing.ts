// SPDX-License-Identifier: Apache-2.0
import type { JsonObject, JsonValue } from "../../lib/json.ts";
import { type Resource, isInUse } from "./resources.ts";

/** What `attache config` shows of one part of a configuration. */
export interface Listing {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** The form that istioctl prints; undefined unless it was asked for. */
  readonly document: JsonValue | undefined;
  /** What two configurations are compared by: each thing under its name. Empty unless it was asked for. */
  readonly items: ReadonlyMap<string, JsonValue>;
  /** What Envoy does not use, and why. */
  readonly notes: readonly string[];
}

/** Each one that is empty or 0 does not count. */
export interface Filters {
  readonly fqdn: string;
  readonly direction: string;
  readonly subset: string;
  readonly port: number;
  /** An IP address or the path of a socket. */
  readonly host: string;
  readonly type: string;
  readonly name: string;
  readonly cluster: string;
  readonly status: string;
}

export const noFilters: Filters = {
  fqdn: "",
  direction: "",
  subset: "",
  port: 0,
  host: "",
  type: "",
  name: "",
  cluster: "",
  status: "",
};

export interface ListingOptions {
  readonly filters: Filters;
  /** One row for each filter chain and each route; without it, one for each listener and each route configuration. */
  readonly verbose: boolean;
  /** Keeps documents and items, which takes memory in proportion to the configuration. */
  readonly keep: boolean;
  readonly nowMs: number;
}

/** Things by name. A name that is there again gets a number. */
export class NamedItems {
  readonly #items = new Map<string, JsonValue>();

  add(name: string, value: JsonValue): void {
    let key = name;
    for (let number = 2; this.#items.has(key); number++) key = `${name} #${String(number)}`;
    this.#items.set(key, value);
  }

  get items(): ReadonlyMap<string, JsonValue> {
    return new Map([...this.#items].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

/** Says of a resource what is not in use of it; undefined when Envoy uses it. */
export function noteOf(kind: string, name: string, resource: Resource): string | undefined {
  if (isInUse(resource)) return undefined;
  const version = resource.version === "" ? "" : ` (version ${resource.version})`;
  if (resource.state === "rejected") {
    return `${kind} ${name}: Envoy rejected the last update${version}: ${resource.problem || "no reason given"}`;
  }
  if (resource.state === "draining") return `${kind} ${name} is draining${version}`;
  return `${kind} ${name} is warming${version}: Envoy does not use it before what it depends on has arrived`;
}

/** A message without the type that it has in a dump. */
export function untyped(message: JsonObject): JsonObject {
  const { "@type": _type, ...rest } = message;
  return rest;
}

/** As an entry of a dump has them. */
export function versionMembers(versionInfo: string, lastUpdated: string): JsonObject {
  return { ...(versionInfo === "" ? {} : { versionInfo }), ...(lastUpdated === "" ? {} : { lastUpdated }) };
}
