// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import { isJsonList, isJsonObject, type JsonObject, type JsonValue, objectOf, textOf } from "../../lib/json.ts";
import { redacted } from "../../config/redaction.ts";
import { readAddress } from "./addresses.ts";

/** One value that differs. Undefined: it is not there. */
export interface ValueDifference {
  /** Such as `virtualHosts[api].routes[0].route.timeout`. */
  readonly path: string;
  readonly before?: JsonValue;
  readonly after?: JsonValue;
}

/** How two configurations differ. */
export interface Differences {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly { readonly name: string; readonly changes: readonly ValueDifference[] }[];
}

type Items = ReadonlyMap<string, JsonValue>;

/** A value that is redacted on one side, as a bundle has more of them, is not compared. */
export function compareItems(before: Items, after: Items): Differences {
  const changed = [...before].flatMap(([name, old]) => {
    const now = after.get(name);
    const changes = now === undefined ? [] : compareValues(old, now, "");
    return changes.length === 0 ? [] : [{ name, changes }];
  });
  return {
    added: [...after.keys()].filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !after.has(name)),
    changed,
  };
}

export function isSame({ added, removed, changed }: Differences): boolean {
  return added.length + removed.length + changed.length === 0;
}

function compareValues(before: JsonValue | undefined, after: JsonValue | undefined, path: string): ValueDifference[] {
  if (isDeepStrictEqual(before, after) || before === redacted || after === redacted) return [];
  if (isJsonObject(before) && isJsonObject(after)) return compareMembers(before, after, path);
  if (isJsonList(before) && isJsonList(after)) {
    const [old, now] = [keyed(before), keyed(after)];
    if (old !== undefined && now !== undefined) return compareKeyed(old, now, path);
    return compareLists(before, after, path);
  }
  const difference = { path: path === "" ? "." : path };
  return [
    {
      ...difference,
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
    },
  ];
}

function compareMembers(before: JsonObject, after: JsonObject, path: string): ValueDifference[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].flatMap((name) => compareValues(before[name], after[name], memberPath(path, name)));
}

function memberPath(path: string, name: string): string {
  if (!/^[\w@]+$/.test(name)) return `${path}[${JSON.stringify(name)}]`;
  return path === "" ? name : `${path}.${name}`;
}

/** The items by a name or an address that each has alone; undefined when there is none. */
function keyed(list: readonly JsonValue[]): ReadonlyMap<string, JsonValue> | undefined {
  const found = new Map<string, JsonValue>();
  for (const item of list) {
    const key = keyOf(objectOf(item));
    if (key === "" || found.has(key)) return undefined;
    found.set(key, item);
  }
  return found;
}

function keyOf({ name, key, header, endpoint }: JsonObject): string {
  const own = textOf(name) || textOf(key) || textOf(objectOf(header)["key"]);
  if (own !== "") return own;
  const { host, port } = readAddress(objectOf(endpoint)["address"]);
  return host === "" ? "" : `${host}:${String(port)}`;
}

function compareKeyed(before: Items, after: Items, path: string): ValueDifference[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  const changes = [...keys].flatMap((key) => compareValues(before.get(key), after.get(key), `${path}[${key}]`));
  if (changes.length > 0 || isDeepStrictEqual([...before.keys()], [...after.keys()])) return changes;
  return [{ path: `${path} (order)`, before: [...before.keys()], after: [...after.keys()] }];
}

/** Items that are the same at both ends of the lists are not compared with each other's neighbours. */
function compareLists(before: readonly JsonValue[], after: readonly JsonValue[], path: string): ValueDifference[] {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && isDeepStrictEqual(before[start], after[start])) start++;
  let end = 0;
  while (end < shorter - start && isDeepStrictEqual(before.at(-1 - end), after.at(-1 - end))) end++;
  const [old, now] = [before.slice(start, before.length - end), after.slice(start, after.length - end)];
  return Array.from({ length: Math.max(old.length, now.length) }, (_, index) => index).flatMap((index) =>
    compareValues(old[index], now[index], `${path}[${String(start + index)}]`),
  );
}
