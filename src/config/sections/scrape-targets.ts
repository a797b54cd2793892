// SPDX-License-Identifier: Apache-2.0
import type { ScrapeTarget } from "../../model/scrape-target.ts";
import { type Findings, shown } from "../config-error.ts";
import { parseBool, parseInteger } from "../sources/environment.ts";
import { type JsonObject, isJsonList, isJsonObject, tryParseJson } from "../../lib/json.ts";
import { memberOf } from "../sources/documents.ts";

const variable = "ISTIO_PROMETHEUS_ANNOTATIONS";

const leftOut = "the metrics of this target are left out";

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
 * The application's metrics endpoints. JsonObject `host` and `scheme` are this agent's own. What is invalid is a warning,
 * and costs the metrics of that target: a pod does not fail for its metrics.
 * @param text JSON, as the injector writes it from the pod's annotations; all values are texts
 */
export function parseScrapeTargets(text: string, statusPort: number, findings: Findings): readonly ScrapeTarget[] {
  const value = tryParseJson(text);
  if (!isJsonObject(value)) {
    findings.warn(variable, `${shown(text)} is not a JSON object; the application's metrics are left out`);
    return [];
  }
  const textOf = (members: JsonObject, name: string): string => {
    const given = memberOf(members, name) ?? "";
    if (typeof given === "string") return given;
    const isNumber = typeof given === "number";
    findings.warn(
      variable,
      `${name} must be a string, not ${shown(given)}; ${isNumber ? "it is read as one" : "it is ignored"}`,
    );
    return isNumber ? String(given) : "";
  };
  const scrape = textOf(value, "scrape");
  if (parseBool(scrape) === false) return [];
  if (scrape !== "" && parseBool(scrape) === undefined) {
    findings.warn(variable, `scrape: ${shown(scrape)} is not true or false; using true`);
  }
  const given = readTargets(value, findings);
  if (given === undefined) return [];
  const targets = given.length > 0 ? given : [{ port: textOf(value, "port") || "80", path: textOf(value, "path") }];
  return targets.flatMap((target) => {
    const port = readPort(textOf(target, "port"), statusPort, findings);
    const path = textOf(target, "path") || "/metrics";
    const scheme = textOf(target, "scheme") || textOf(value, "scheme");
    const host = textOf(target, "host") || textOf(value, "host") || "localhost";
    const isHost = /^[\w.:-]+$/.test(host);
    if (!isHost) findings.warn(variable, `host ${shown(host)} is not a host name or an address; ${leftOut}`);
    return port === undefined || !isHost
      ? []
      : [{ host, scheme: /^https$/i.test(scheme) ? "https" : "http", port, path: requestPath(path) }];
  });
}

/** Undefined when none of them can be read. */
function readTargets(value: JsonObject, findings: Findings): readonly JsonObject[] | undefined {
  const list = memberOf(value, "targets") ?? [];
  if (!isJsonList(list)) {
    findings.warn(
      variable,
      "targets must be a list of objects, each with a port; the application's metrics are left out",
    );
    return undefined;
  }
  const targets = list.filter((item) => isJsonObject(item));
  if (targets.length === list.length) return targets;
  findings.warn(variable, "targets must be a list of objects, each with a port; what is none is left out");
  return targets.length === 0 ? undefined : targets;
}

/** Encoded for a request line. */
function requestPath(path: string): string {
  const absolute = path.startsWith("/") ? path : `/${path}`;
  return absolute.replaceAll(/[^\x21-\x7e]+/g, encodeURI);
}

function readPort(text: string, statusPort: number, findings: Findings): number | undefined {
  const port = parseInteger(text);
  if (port === undefined || port < 1 || port > 65_535) {
    findings.warn(variable, `port ${shown(text)} must be a number from 1 to 65535; ${leftOut}`);
    return undefined;
  }
  const purpose = port === statusPort ? "the agent's status server" : reservedPorts.get(port);
  if (purpose === undefined) return port;
  findings.warn(variable, `port ${String(port)} is reserved for ${purpose}; use a port of the application; ${leftOut}`);
  return undefined;
}
