// SPDX-License-Identifier: Apache-2.0
import type { ScrapeTarget } from "../../model/scrape-target.ts";
import { type Findings, shown } from "../config-error.ts";
import { parseBool, parseInteger } from "../sources/environment.ts";
import { type JsonObject, isJsonList, isJsonObject, tryParseJson } from "../../lib/json.ts";
import { memberOf } from "../sources/documents.ts";

const variable = "ISTIO_PROMETHEUS_ANNOTATIONS";

/** Ports of the proxy itself. Source: Istio's list of reserved ports */
const reservedPorts: ReadonlyMap<number, string> = new Map([
  [15000, "Envoy admin"],
  [15001, "Envoy outbound"],
  [15004, "debug interface"],
  [15006, "Envoy inbound"],
  [15008, "HBONE tunnel"],
  [15020, "agent metrics"],
  [15021, "health checks"],
  [15053, "DNS proxy"],
  [15090, "Envoy metrics"],
]);

/**
 * The application's metrics endpoints. JsonObject `host` and `scheme` are this agent's own.
 * @param text JSON, as the injector writes it from the pod's annotations; all values are texts
 */
export function parseScrapeTargets(text: string, statusPort: number, findings: Findings): readonly ScrapeTarget[] {
  const value = tryParseJson(text);
  if (!isJsonObject(value)) {
    findings.problem(variable, `${shown(text)} is not a JSON object`);
    return [];
  }
  const textOf = (members: JsonObject, name: string): string => {
    const given = memberOf(members, name) ?? "";
    if (typeof given === "string") return given;
    findings.problem(variable, `${name} must be a string, not ${shown(given)}`);
    return "";
  };
  const scrape = textOf(value, "scrape");
  if (parseBool(scrape) === false) return [];
  if (scrape !== "" && parseBool(scrape) === undefined) {
    findings.warn(variable, `scrape: ${shown(scrape)} is not true or false; using true`);
  }
  const given = readTargets(value, findings);
  const targets = given.length > 0 ? given : [{ port: textOf(value, "port") || "80", path: textOf(value, "path") }];
  return targets.flatMap((target) => {
    const port = readPort(textOf(target, "port"), statusPort, findings);
    const path = textOf(target, "path") || "/metrics";
    const scheme = textOf(target, "scheme") || textOf(value, "scheme");
    const host = textOf(target, "host") || textOf(value, "host") || "localhost";
    if (!/^[\w.:-]+$/.test(host)) findings.problem(variable, `host ${shown(host)} is not a host name or an address`);
    return port === undefined
      ? []
      : [{ host, scheme: /^https$/i.test(scheme) ? "https" : "http", port, path: requestPath(path) }];
  });
}

function readTargets(value: JsonObject, findings: Findings): readonly JsonObject[] {
  const list = memberOf(value, "targets") ?? [];
  if (isJsonList(list) && list.every((item) => isJsonObject(item))) return list;
  findings.problem(variable, "targets must be a list of objects, each with a port");
  return [];
}

/** Encoded for a request line. */
function requestPath(path: string): string {
  const absolute = path.startsWith("/") ? path : `/${path}`;
  return absolute.replaceAll(/[^\x21-\x7e]+/g, encodeURI);
}

function readPort(text: string, statusPort: number, findings: Findings): number | undefined {
  const port = parseInteger(text);
  if (port === undefined || port < 1 || port > 65_535) {
    findings.problem(variable, `port ${shown(text)} must be a number from 1 to 65535`);
    return undefined;
  }
  const purpose = port === statusPort ? "the agent's status server" : reservedPorts.get(port);
  if (purpose === undefined) return port;
  findings.problem(variable, `port ${String(port)} is reserved for ${purpose}; use a port of the application`);
  return undefined;
}
