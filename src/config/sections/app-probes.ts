// SPDX-License-Identifier: Apache-2.0
import type { AppProbe, AppProbeHandler } from "../../status/status-config.ts";
import { type Findings, shown } from "../config-error.ts";
import { type JsonObject, isJsonObject, tryParseJson } from "../../lib/json.ts";
import { memberOf } from "../sources/documents.ts";

const variable = "ISTIO_KUBE_APP_PROBERS";
const pathForm = /^\/(app-health|app-lifecycle)\/[^/]+\/(livez|readyz|startupz|prestopz|poststartz)$/;
const wrongType = "invalid prober type, must be one of type httpGet, tcpSocket or gRPC";

/** Kubernetes' default timeout of a probe. */
const defaultProbeMs = 1_000;
/** A lifecycle hook may take longer. */
const defaultHookMs = 30_000;

/**
 * Parses the application's probes, by the path at which the kubelet requests them. Every problem names the member.
 * @param text JSON; empty means no probes
 * Source: Istio's injector, which writes this variable from the pod's probes
 */
export function parseAppProbes(text: string, findings: Findings): Readonly<Record<string, AppProbe>> {
  if (text === "") return {};
  const value = tryParseJson(text);
  if (!isJsonObject(value)) {
    findings.problem(variable, `failed to decode app prober: ${shown(text)} is not a JSON object`);
    return {};
  }
  const probes: Record<string, AppProbe> = {};
  for (const [path, probe] of Object.entries(value)) {
    const source = `${variable}, member ${path}`;
    const handler = isJsonObject(probe) ? readHandler(probe, path) : wrongType;
    if (!pathForm.test(path)) {
      findings.problem(source, `invalid path, must be in form of regex pattern ${pathForm.source}`);
    } else if (typeof handler === "string") findings.problem(source, handler);
    else if (isJsonObject(probe)) {
      probes[path] = { handler, timeoutMs: timeoutMs(probe, path) };
      const http = memberOf(probe, "httpGet");
      if (isJsonObject(http) && memberOf(http, "host") !== undefined) {
        findings.warn(source, "httpGet.host is ignored: the probe goes to the pod itself");
      }
    }
  }
  return probes;
}

function readHandler(probe: JsonObject, key: string): AppProbeHandler | string {
  const http = memberOf(probe, "httpGet");
  const tcp = memberOf(probe, "tcpSocket");
  const grpc = memberOf(probe, "grpc");
  const given = [http, tcp, grpc].filter((handler) => handler !== undefined);
  const [handler] = given;
  if (given.length !== 1 || !isJsonObject(handler)) return wrongType;
  const port = memberOf(handler, "port");
  if (typeof port !== "number" || !Number.isInteger(port)) {
    return `invalid prober config for ${key}, the port must be int type`;
  }
  if (tcp !== undefined) return { kind: "tcp", port };
  if (grpc !== undefined) {
    const service = memberOf(handler, "service");
    return { kind: "grpc", port, service: typeof service === "string" ? service : "" };
  }
  const path = memberOf(handler, "path");
  const text = typeof path === "string" ? path : "";
  const scheme = isHttps(memberOf(handler, "scheme")) ? "https" : "http";
  return { kind: "http", scheme, path: text.startsWith("/") ? text : `/${text}`, port };
}

function isHttps(scheme: unknown): boolean {
  return typeof scheme === "string" && scheme.toUpperCase() === "HTTPS";
}

function timeoutMs(probe: JsonObject, path: string): number {
  const seconds = memberOf(probe, "timeoutSeconds");
  if (typeof seconds === "number" && seconds > 0) return seconds * 1_000;
  return path.startsWith("/app-lifecycle/") ? defaultHookMs : defaultProbeMs;
}
