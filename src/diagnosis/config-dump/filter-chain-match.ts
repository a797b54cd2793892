// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, objectOf, objectsOf, textOf, textsOf } from "../../lib/json.ts";

/** Application protocols that istiod matches together, and what istioctl calls them. */
const protocolSets: Readonly<Record<string, string>> = {
  "http/1.0,http/1.1,h2c": "App: HTTP",
  "istio,istio-http/1.0,istio-http/1.1,istio-h2": "App: Istio HTTP Plain",
  "http/1.0,http/1.1,h2c,istio-http/1.0,istio-http/1.1,istio-h2": "App: HTTP TLS",
  "istio-peer-exchange,istio": "App: TCP TLS",
};

/** What connections a filter chain is for. A listener with a matcher tree selects its chains by name. */
export function chainMatches(chain: JsonObject, listener: JsonObject): readonly string[] {
  const { filterChainMatcher } = listener;
  if (!isJsonObject(filterChainMatcher)) return [describeChainMatch(objectOf(chain["filterChainMatch"]))];
  const name = textOf(chain["name"]);
  const otherwise = objectOf(filterChainMatcher["onNoMatch"]);
  if (actionName(otherwise) === name) return ["UNMATCHED"];
  const tree = isJsonObject(otherwise["matcher"]) ? otherwise["matcher"] : filterChainMatcher;
  const found = findInTree(name, tree);
  return found.length === 0 ? ["NONE"] : found;
}

/** `ALL` for a chain without conditions. */
export function describeChainMatch(match: JsonObject): string {
  const parts: string[] = [];
  const names = textsOf(match["serverNames"]);
  if (names.length > 0) parts.push(`SNI: ${names.join(",")}`);
  const transport = textOf(match["transportProtocol"]);
  if (transport !== "") parts.push(`Trans: ${transport}`);
  const protocols = textsOf(match["applicationProtocols"]).join(",");
  if (protocols !== "") parts.push(protocolSets[protocols] ?? `App: ${protocols}`);
  const port = typeof match["destinationPort"] === "number" ? `:${String(match["destinationPort"])}` : "";
  const ranges = objectsOf(match["prefixRanges"]).map(renderRange);
  if (ranges.length > 0) parts.push(`Addr: ${ranges.join(",")}${port}`);
  else if (port !== "") parts.push(`Addr: *${port}`);
  const sources = objectsOf(match["sourcePrefixRanges"]).map(renderRange);
  if (sources.length > 0) parts.push(`Source: ${sources.join(",")}`);
  return parts.length === 0 ? "ALL" : parts.join("; ");
}

function renderRange({ addressPrefix, prefixLen }: JsonObject): string {
  return `${textOf(addressPrefix)}/${String(typeof prefixLen === "number" ? prefixLen : 0)}`;
}

function actionName(onMatch: JsonObject): string | undefined {
  const { action } = onMatch;
  return isJsonObject(action) ? textOf(action["name"]) : undefined;
}

/** The ways through a matcher tree that lead to the chain of this name. */
function findInTree(name: string, matcher: JsonObject): readonly string[] {
  const otherwise = objectOf(matcher["onNoMatch"]);
  if (actionName(otherwise) === name) return ["ANY"];
  if (isJsonObject(otherwise["matcher"])) {
    const found = findInTree(name, otherwise["matcher"]);
    return found.length === 0 ? ["NONE"] : found;
  }
  const tree = objectOf(matcher["matcherTree"]);
  const input = textOf(objectOf(tree["input"])["name"]);
  return branches(tree).flatMap(([key, onMatch]) => {
    if (isJsonObject(onMatch["matcher"])) {
      return findInTree(name, onMatch["matcher"]).map((child) => `${input}${key} -> ${child}`);
    }
    return actionName(onMatch) === name ? [`${input}${key}`] : [];
  });
}

/** What is compared (`=80`, `^abc`), and where it leads. */
function branches(tree: JsonObject): readonly (readonly [string, JsonObject])[] {
  const { exactMatchMap, prefixMatchMap, customMatch } = tree;
  const entries = (value: JsonObject, sign: string): readonly (readonly [string, JsonObject])[] =>
    Object.entries(objectOf(value["map"])).map(([key, onMatch]) => [`${sign}${key}`, objectOf(onMatch)]);
  if (isJsonObject(exactMatchMap)) return entries(exactMatchMap, "=");
  if (isJsonObject(prefixMatchMap)) return entries(prefixMatchMap, "^");
  return objectsOf(objectOf(objectOf(customMatch)["typedConfig"])["rangeMatchers"]).flatMap(({ ranges, onMatch }) =>
    objectsOf(ranges).map((range) => [`=${renderRange(range).replace(/\/(32|128)$/, "")}`, objectOf(onMatch)] as const),
  );
}
