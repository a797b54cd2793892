// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type {
  ClientTls,
  KeepaliveConfig,
  RemoteServiceConfig,
  TracerConfig,
} from "../../bootstrap/bootstrap-config.ts";
import type { HostPort } from "../../lib/net/host-port.ts";
import {
  type RemoteService,
  type TlsSettings,
  parseServiceAddress,
  protoDurationMs,
} from "../proxy-config/proxy-config.ts";
import { shown } from "../config-error.ts";
import { setHostIp } from "../sources/unexpanded.ts";
import type { Sources } from "../sources/sources.ts";

/** Where Envoy sends its traces. */
export function tracer(sources: Sources): TracerConfig | undefined {
  const { fieldSource, findings } = sources;
  const { tracing, configPath } = sources.proxy;
  if (tracing === undefined) return undefined;
  for (const kind of ["zipkin", "datadog", "openTelemetry", "lightstep"] as const) {
    const address = serviceAddress(sources, tracing[kind]?.address);
    if (tracing[kind] === undefined || address === undefined) continue;
    const tls = clientTls(sources, "tracing", tracing.tlsSettings);
    if (kind !== "lightstep") return { kind, address, tls };
    findings.warn(
      `${fieldSource("tracing")}.lightstep`,
      "Envoy 1.40 has no Lightstep tracer and does not start with it; use openTelemetry",
    );
    return {
      kind,
      address,
      tls,
      accessTokenPath: join(configPath, "lightstep_access_token.txt"),
      accessToken: tracing.lightstep?.accessToken ?? "",
    };
  }
  for (const kind of ["stackdriver", "openCensusAgent"] as const) {
    if (tracing[kind] !== undefined)
      findings.warn(`${fieldSource("tracing")}.${kind}`, "Envoy no longer has this tracer; it is ignored");
  }
  return undefined;
}

/** Where Envoy sends its metrics or access logs over gRPC. */
export function remoteService(
  sources: Sources,
  field: "envoyMetricsService" | "envoyAccessLogService",
): RemoteServiceConfig | undefined {
  const service = sources.proxy[field];
  const address = serviceAddress(sources, service?.address);
  if (service === undefined || address === undefined) return undefined;
  const tls = clientTls(sources, field, service.tlsSettings);
  if (tls?.mode === "MUTUAL" && (tls.chainPath === "" || tls.keyPath === "")) {
    sources.findings.problem(
      sources.fieldSource(field),
      "tlsSettings of mode MUTUAL needs clientCertificate and privateKey, or TLS_CLIENT_CERT_CHAIN and TLS_CLIENT_KEY in the metadata",
    );
  }
  return { address, tls, keepalive: keepalive(service) };
}

function keepalive({ tcpKeepalive }: RemoteService): KeepaliveConfig | undefined {
  if (tcpKeepalive === undefined) return undefined;
  const seconds = (text: string | undefined): number => Math.trunc(protoDurationMs(text) / 1_000);
  return {
    probes: tcpKeepalive.probes ?? 0,
    timeSeconds: seconds(tcpKeepalive.time),
    intervalSeconds: seconds(tcpKeepalive.interval),
  };
}

/** Paths in the node's metadata take precedence over those of tlsSettings. */
function clientTls(
  { node, fieldSource, findings }: Sources,
  field: "tracing" | "envoyMetricsService" | "envoyAccessLogService",
  tls: TlsSettings | undefined,
): ClientTls | undefined {
  if (tls?.mode === undefined || tls.mode === "DISABLE") return undefined;
  const path = (key: string, setting: string | undefined): string => {
    const value = node.metadata[key];
    return typeof value === "string" && value !== "" ? value : (setting ?? "");
  };
  const caPath = path("TLS_CLIENT_ROOT_CERT", tls.caCertificates);
  const subjectAltNames = tls.subjectAltNames ?? [];
  if (caPath === "" && tls.mode !== "ISTIO_MUTUAL") {
    const source = fieldSource(field);
    const missing = "tlsSettings has no caCertificates";
    if (subjectAltNames.length > 0) findings.problem(source, `${missing}, which subjectAltNames need`);
    else findings.warn(source, `${missing}: Envoy does not verify the server's certificate`);
  }
  return {
    mode: tls.mode,
    sni: tls.sni ?? "",
    subjectAltNames,
    caPath,
    chainPath: path("TLS_CLIENT_CERT_CHAIN", tls.clientCertificate),
    keyPath: path("TLS_CLIENT_KEY", tls.privateKey),
  };
}

/** Where Envoy sends its statsd metrics. */
export function statsdAddress(sources: Sources): HostPort | undefined {
  return serviceAddress(sources, sources.proxy.statsdUdpAddress);
}

/** Undefined when there is none, or when it is wrong: ProxyConfig's checks report it. */
function serviceAddress({ env, findings }: Sources, text: string | undefined): HostPort | undefined {
  if (text?.includes("$(HOST_IP)") === true && env.string("HOST_IP") === "") {
    findings.warn(
      "HOST_IP",
      `is not set, so ${shown(text)} stays as it is, and Envoy cannot connect to it; ${setHostIp}`,
    );
  }
  const address = text ? parseServiceAddress(text, env.string("HOST_IP")) : "";
  return typeof address === "string" ? undefined : address;
}
