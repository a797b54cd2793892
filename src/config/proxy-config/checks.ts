// SPDX-License-Identifier: Apache-2.0
import type { Findings } from "../config-error.ts";
import { isJsonObject } from "../../lib/json.ts";
import { type ProxyConfig, type TlsSettings, addressProblem, protoDurationMs } from "./proxy-config.ts";

/** Far above any machine. Envoy allocates all its workers before it starts one, and never finishes with millions. */
const maxWorkers = 65_535;

/**
 * Reports every invalid field of a ProxyConfig, with the source of the field.
 * Source: the checks of Istio's agent on its ProxyConfig
 */
export function checkProxyConfig(
  config: ProxyConfig,
  originOf: (field: keyof ProxyConfig) => string,
  findings: Findings,
): void {
  const report = (field: keyof ProxyConfig, message: string | undefined): void => {
    if (message !== undefined) findings.problem(`${originOf(field)}, field ${field}`, message);
  };
  const address = (field: keyof ProxyConfig, name: string, text: string): void => {
    const problem = addressProblem(text);
    if (problem !== undefined) report(field, `invalid ${name} ${JSON.stringify(text)}: ${problem}`);
  };
  if (config.configPath === "") report("configPath", "config path must be set");
  if (config.binaryPath === "") report("binaryPath", "binary path must be set");
  if (config.serviceCluster === "") report("serviceCluster", "service cluster must be specified");
  report("drainDuration", drainProblem(config.drainDuration));
  if (config.discoveryAddress === "") {
    report("discoveryAddress", "discovery address must be set to the proxy discovery service");
  } else {
    const problem = addressProblem(config.discoveryAddress);
    if (problem !== undefined) report("discoveryAddress", `invalid discovery address: ${problem}`);
  }
  if (protoDurationMs(config.fileFlushInterval) < 0) report("fileFlushInterval", "must not be negative");
  report("proxyAdminPort", portProblem("proxy admin port", config.proxyAdminPort));
  // 0 turns the status server off
  if (config.statusPort !== 0) report("statusPort", portProblem("status port", config.statusPort));
  if (config.concurrency !== undefined && config.concurrency > maxWorkers) {
    report("concurrency", `${String(config.concurrency)} workers are too many; at most ${String(maxWorkers)}`);
  }
  if (config.controlPlaneAuthPolicy === "INHERIT") {
    report("controlPlaneAuthPolicy", "invalid authentication policy: unrecognized control plane auth policy INHERIT");
  }
  if (config.envoyMetricsServiceAddress) {
    address("envoyMetricsServiceAddress", "envoy metrics service address", config.envoyMetricsServiceAddress);
  }
  for (const [field, name] of [
    ["envoyMetricsService", "envoy metrics service address"],
    ["envoyAccessLogService", "envoy access log service address"],
  ] as const) {
    const service = config[field];
    if (service?.address) address(field, name, service.address);
  }
  for (const problem of tracingProblems(config)) report("tracing", problem);
  for (const warning of customTagWarnings(config)) findings.warn(`${originOf("tracing")}, field tracing`, warning);
  report("privateKeyProvider", keyProviderProblem(config));
  for (const problem of connectionProblems(config))
    report("connectionSettings", `invalid connection settings: ${problem}`);
}

function drainProblem(text: string): string | undefined {
  const problem = durationProblem(text);
  if (problem !== undefined) return `invalid drain duration: ${problem}`;
  const whole = isWhole(protoDurationMs(text) / 1_000);
  return whole ? undefined : "drain time only supports durations to seconds precision";
}

/** The problem of a duration that Istio counts in milliseconds; undefined if it is valid. */
export function durationProblem(text: string): string | undefined {
  const ms = protoDurationMs(text);
  if (ms < 1) return "duration must be greater than 1ms";
  return isWhole(ms) ? undefined : "only durations to ms precision are supported";
}

function isWhole(value: number): boolean {
  return Math.abs(value - Math.round(value)) < 1e-6;
}

export function portProblem(name: string, port: number): string | undefined {
  const valid = port >= 1 && port <= 65_535;
  return valid ? undefined : `invalid ${name}: port number ${String(port)} must be in the range 1..65535`;
}

function* tracingProblems({ tracing }: ProxyConfig): Generator<string> {
  if (tracing === undefined) return;
  if (tracing.lightstep !== undefined) {
    const { address = "", accessToken = "" } = tracing.lightstep;
    const problem = addressProblem(address);
    if (problem !== undefined) yield `invalid lightstep config: invalid lightstep address: ${problem}`;
    if (accessToken === "") yield "invalid lightstep config: access token is required";
  }
  for (const kind of ["zipkin", "datadog", "openTelemetry"] as const) {
    const tracer = tracing[kind];
    const problem = tracer === undefined ? undefined : addressProblem(tracer.address ?? "");
    if (problem !== undefined) yield `invalid ${kind} config: invalid ${kind} address: ${problem}`;
  }
  const tls = tlsProblem(tracing.tlsSettings);
  if (tls !== undefined) yield `invalid tracing TLS config: ${tls}`;
}

/** Only the control plane uses custom tags, so an invalid one must not prevent the start. */
function* customTagWarnings({ tracing }: ProxyConfig): Generator<string> {
  for (const [name, tag] of Object.entries(tracing?.customTags ?? {})) {
    const kinds = Object.keys(tag);
    const [kind] = kinds;
    if (kind === undefined || kinds.length > 1) {
      yield `custom tag ${name} needs exactly one of literal, environment, header`;
      continue;
    }
    const body = tag[kind];
    const needed = kind === "literal" ? "value" : "name";
    if (!isJsonObject(body) || !body[needed]) yield `custom tag ${name} needs a ${needed} in ${kind}`;
  }
}

function tlsProblem(tls: TlsSettings | undefined): string | undefined {
  if (tls === undefined) return undefined;
  const { mode, clientCertificate = "", privateKey = "", caCertificates = "", credentialName = "" } = tls;
  const files = clientCertificate !== "" || privateKey !== "" || caCertificates !== "";
  if ((mode === "SIMPLE" || mode === "MUTUAL") && credentialName !== "" && files) {
    return "credentialName excludes clientCertificate, privateKey and caCertificates";
  }
  const verifies = caCertificates !== "" || tls.subjectAltNames !== undefined;
  if (tls.insecureSkipVerify === true && (mode === "SIMPLE" || mode === "MUTUAL") && verifies) {
    return "insecureSkipVerify excludes caCertificates and subjectAltNames";
  }
  if (mode === "MUTUAL" && credentialName === "") {
    if (clientCertificate === "") return "client certificate required for mutual tls";
    if (privateKey === "") return "private key required for mutual tls";
  }
  return undefined;
}

function keyProviderProblem({ privateKeyProvider }: ProxyConfig): string | undefined {
  if (privateKeyProvider === undefined) return undefined;
  const provider = privateKeyProvider.cryptomb ?? privateKeyProvider.qat;
  const prefix = "invalid private key provider configuration";
  if (provider === undefined) return `${prefix}: a provider is required: cryptomb or qat`;
  if (provider.pollDelay === undefined) return `${prefix}: pollDelay is required`;
  return protoDurationMs(provider.pollDelay) > 0 ? undefined : `${prefix}: pollDelay must be above 0`;
}

/** Source: the bounds of Istio's check; window sizes are HTTP/2's (RFC 9113 section 6.9.2). */
function* connectionProblems({ connectionSettings: settings }: ProxyConfig): Generator<string> {
  for (const [name, value] of Object.entries(settings ?? {})) {
    const number = typeof value === "string" && value.endsWith("s") ? protoDurationMs(value) : Number(value);
    if (/^(httpMaxConcurrentStreams|listenerConnectionLimit|globalDownstreamConnectionLimit)$/.test(name)) {
      if (!(number > 0)) yield `${name} must be above 0`;
    } else if (/WindowSize$/.test(name)) {
      if (!(number >= 65_535)) yield `${name} must be 65535 or more`;
    } else if (number < 0) yield `${name} must not be negative`;
  }
}
