// SPDX-License-Identifier: Apache-2.0
import type { WorkloadCheckMethod } from "../../model/workload-check.ts";
import type { HealthCheckConfig } from "../../xds/xds-config.ts";
import { isIpv6 } from "../../lib/net/ip-address.ts";
import { type JsonObject, type JsonValue, isJsonObject, objectsOf, textOf, textsOf } from "../../lib/json.ts";
import type { Sources } from "../sources/sources.ts";

/** Kubernetes' defaults of a readiness probe. */
const defaults = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 1 } as const;

/** Health checks of a workload on a virtual machine; undefined: none. */
export function healthCheckConfig(sources: Sources): HealthCheckConfig | undefined {
  const { proxy, fieldSource, findings } = sources;
  const probe = proxy.readinessProbe;
  if (probe === undefined) return undefined;
  const method = methodOf(sources, probe);
  if (typeof method === "string") {
    findings.problem(fieldSource("readinessProbe"), method);
    return undefined;
  }
  const number = (name: keyof typeof defaults): number => positive(probe[name]) ?? defaults[name];
  const host = method.kind === "exec" ? "" : method.host;
  return {
    initialDelayMs: (positive(probe["initialDelaySeconds"]) ?? 0) * 1_000,
    periodMs: number("periodSeconds") * 1_000,
    timeoutMs: number("timeoutSeconds") * 1_000,
    successThreshold: number("successThreshold"),
    failureThreshold: number("failureThreshold"),
    method,
    sourceAddress: isIpv6(host) ? "::6" : "127.0.0.6",
  };
}

function positive(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" && value > 0 ? value : undefined;
}

/** @returns the problem, if it is not a method */
function methodOf(sources: Sources, probe: JsonObject): WorkloadCheckMethod | string {
  const given = ["httpGet", "tcpSocket", "grpc", "exec"].filter((name) => isJsonObject(probe[name]));
  const [name] = given;
  const spec = name === undefined ? undefined : probe[name];
  if (given.length !== 1 || !isJsonObject(spec)) return "needs exactly one of httpGet, tcpSocket, grpc and exec";
  if (name === "exec") {
    const { command } = spec;
    const [program, ...args] = textsOf(command);
    return program === undefined ? "exec needs a command" : { kind: "exec", command: [program, ...args] };
  }
  const { port } = spec;
  if (typeof port !== "number" || port < 1 || port > 65_535) return `${name ?? ""} needs a port from 1 to 65535`;
  const host = textOf(spec["host"]).replace(/^\[(.*)\]$/, "$1") || defaultHost(sources);
  if (name === "tcpSocket") return { kind: "tcp", host, port };
  if (name === "grpc") return { kind: "grpc", host, port, service: textOf(spec["service"]) };
  const path = textOf(spec["path"]);
  return {
    kind: "http",
    scheme: textOf(spec["scheme"]).toUpperCase() === "HTTPS" ? "https" : "http",
    host,
    port,
    path: path.startsWith("/") ? path : `/${path}`,
    headers: headersOf(spec["httpHeaders"]),
  };
}

function defaultHost({ env, node }: Sources): string {
  return env.bool("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION") ? "localhost" : (node.ips[0] ?? "localhost");
}

function headersOf(value: JsonValue | undefined): readonly (readonly [string, string])[] {
  return objectsOf(value).map((header) => [textOf(header["name"]), textOf(header["value"])] as const);
}
