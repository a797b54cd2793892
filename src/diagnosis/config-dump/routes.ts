// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, objectOf, objectsOf, textOf, textsOf } from "../../lib/json.ts";
import { describeOrigin } from "./names.ts";

/** One line of the table of routes. */
export interface RouteRow {
  readonly name: string;
  readonly vhostName: string;
  readonly domains: string;
  readonly match: string;
  readonly virtualService: string;
}

/** The rows of a route configuration. A route to Istio's `PassthroughCluster`, which every one has, is left out. */
export function routeRows(config: JsonObject): readonly RouteRow[] {
  const name = textOf(config["name"]);
  return objectsOf(config["virtualHosts"]).flatMap((host) => {
    const head = { name, vhostName: textOf(host["name"]), domains: describeDomains(textsOf(host["domains"])) };
    const routes = objectsOf(host["routes"]);
    if (routes.length === 0) return [{ ...head, match: "/*", virtualService: "404" }];
    return routes
      .filter(({ route }) => objectOf(route)["cluster"] !== "PassthroughCluster")
      .map((route) => ({
        ...head,
        match: describeMatch(objectOf(route["match"])),
        virtualService: describeOrigin(route),
      }));
  });
}

/** Those that are numbers first, as of ports; then the others in the order of the dump. */
export function compareRouteNames(a: string, b: string): number {
  const [first, second] = [portNumber(a), portNumber(b)];
  if (first !== undefined && second !== undefined) return first - second;
  if (first === undefined && second === undefined) return 0;
  return first === undefined ? 1 : -1;
}

function portNumber(name: string): number | undefined {
  return /^[+-]?\d{1,15}$/.test(name) ? Number(name) : undefined;
}

/** The path that a route is for; headers and parameters are left out. */
export function describeMatch(match: JsonObject): string {
  const { prefix, pathSeparatedPrefix, path, safeRegex, connectMatcher, pathMatchPolicy } = match;
  const parts: string[] = [];
  if (textOf(prefix) !== "") parts.push(`${textOf(prefix)}*`);
  if (textOf(pathSeparatedPrefix) !== "") parts.push(`PathPrefix:${textOf(pathSeparatedPrefix)}`);
  if (textOf(path) !== "") parts.push(textOf(path));
  if (isJsonObject(safeRegex)) parts.push(`regex ${textOf(safeRegex["regex"])}`);
  if (isJsonObject(connectMatcher)) parts.push("CONNECT");
  if (isJsonObject(pathMatchPolicy)) {
    parts.push(`template ${textOf(objectOf(pathMatchPolicy["typedConfig"])["pathTemplate"])}`);
  }
  return parts.join(" ");
}

/** The cluster of a configuration that sends every request to it. */
export function onlyCluster(config: JsonObject): string | undefined {
  const [host, ...moreHosts] = objectsOf(config["virtualHosts"]);
  const [route, ...moreRoutes] = objectsOf(host?.["routes"]);
  if (route === undefined || moreHosts.length > 0 || moreRoutes.length > 0) return undefined;
  const isForAll = textsOf(host?.["domains"]).join(" ") === "*" && objectOf(route["match"])["prefix"] === "/";
  const cluster = objectOf(route["route"])["cluster"];
  return isForAll && typeof cluster === "string" ? cluster : undefined;
}

const mostDomains = 2;

/** Two of the domains, without those with a port and without the long forms of names that are there. */
function describeDomains(domains: readonly string[]): string {
  if (domains.length <= 1) return domains[0] ?? "";
  const withoutPort = domains.filter((domain) => {
    return !domain.includes(":") || (domain.split(":").length > 3 && domain.endsWith("]"));
  });
  const names = new Set(withoutPort);
  const shown = withoutPort.filter((name) => {
    return ![".svc.cluster.local", ".svc"].some((end) => name.endsWith(end) && names.has(name.slice(0, -end.length)));
  });
  const text = shown.slice(0, mostDomains).join(", ");
  return shown.length > mostDomains ? `${text} + ${String(shown.length - mostDomains)} more...` : text;
}
