// SPDX-License-Identifier: Apache-2.0
import { suggestion } from "../lib/nearest-name.ts";
import type { JsonObject } from "../lib/json.ts";
import { type ProxyRole, proxyRoles } from "../model/node.ts";
import type { AgentConfig } from "./agent-config.ts";
import { bootstrapAddresses, bootstrapConfig, bootstrapSource } from "./sections/bootstrap-section.ts";
import { caConfig } from "./sections/ca-section.ts";
import { identitySource } from "./sections/identity-section.ts";
import { certConfig, certFilesConfig, sdsConfig } from "./sections/cert-section.ts";
import { ConfigError, type ConfigProblem, Findings } from "./config-error.ts";
import type { ConfigInput } from "./sources/config-input.ts";
import { parseDownwardApi } from "./sources/downward-api.ts";
import { envoyConfig } from "./sections/envoy-section.ts";
import { effectiveProxyConfig } from "./proxy-config/effective-proxy-config.ts";
import { dnsConfig } from "./sections/dns-section.ts";
import { Environment } from "./sources/environment.ts";
import { grpcBootstrap } from "./sections/grpc-bootstrap-section.ts";
import { rootFiles } from "./sections/root-files.ts";
import { logConfig, recorderConfig } from "./sections/log-section.ts";
import { refusePortConflicts } from "./sections/own-port-conflicts.ts";
import { ownBootstrap } from "./sections/own-bootstrap.ts";
import { nodeIdentity } from "./sections/node-section.ts";
import { platformConfig } from "./sections/machine-section.ts";
import { type ProxyConfig, parseProxyConfigFields, renderProxyConfig } from "./proxy-config/proxy-config.ts";
import { parseProxyFlags } from "./sources/flags.ts";
import { type Sources, places } from "./sources/sources.ts";
import { statusConfig } from "./sections/status-section.ts";

import { warnOfUnknownVariables } from "./sources/unknown-variables.ts";
import { warnOfUnexpanded } from "./sources/unexpanded.ts";
import { variables } from "./sources/variables.ts";
import { discoverySource } from "./sections/xds-section.ts";

/** A configuration with what is wrong with it. */
export interface JudgedConfig {
  /** Complete. Where there is a problem, it has the default or an empty value. */
  readonly config: AgentConfig;
  /** Empty if the agent would start. */
  readonly problems: readonly ConfigProblem[];
}

/**
 * Parses the configuration of `attache proxy`. Pure.
 * @throws ConfigError with every problem of the input
 */
export function parseConfig(input: ConfigInput): AgentConfig {
  const { config, problems } = judgeConfig(input);
  if (problems.length > 0) throw new ConfigError(problems, config.warnings);
  return config;
}

/** As `parseConfig`, for a command that examines a configuration with which the agent would not start. */
export function judgeConfig(input: ConfigInput): JudgedConfig {
  const findings = new Findings();
  const env = new Environment(input.env, findings);
  const { values: flags, positionals, unknown, problems } = parseProxyFlags(input.args);
  for (const { flag, message } of unknown) findings.warn(flag, message);
  for (const { flag, message } of problems) findings.problem(flag, message);
  const role = parseRole(positionals[0], findings);
  const annotations = readDownward(input, places.annotations, findings) ?? new Map<string, string>();
  const labels = readDownward(input, places.labels, findings);
  const merged = effectiveProxyConfig({ input, env, flags, annotations, findings });
  const proxy = parseProxyConfigFields(merged.fields);
  const externalSds = hasExternalSds(input, env, findings);
  const fieldSource = (field: keyof ProxyConfig): string => `${merged.origins.get(field) ?? "default"}, field ${field}`;
  const { mesh } = merged;
  const parts = { input, env, flags, role, proxy, mesh, fieldSource, annotations, findings };
  const node = nodeIdentity(parts, labels, { proxyFields: merged.fields, externalSds });
  const sources: Sources = { ...parts, node };
  warnOfDeadSettings(sources, input.env);
  warnOfUnexpanded(input.env, findings);
  const config = agentConfig(sources, merged.fields, externalSds);
  refusePortConflicts(config, findings);
  const warnings = findings.warnings.filter(({ message }) => !config.disableEnvoy || !isAboutEnvoy(message));
  return { config: { ...config, warnings }, problems: findings.problems };
}

/** Such a warning is not true where there is no Envoy. */
function isAboutEnvoy(message: string): boolean {
  return /\bEnvoy\b/.test(message);
}

function agentConfig(sources: Sources, fields: JsonObject, externalSds: boolean): AgentConfig {
  const { env, flags, role, node, findings } = sources;
  const identity = identitySource(sources, externalSds);
  const xds = discoverySource(sources);
  const ca = caConfig(sources, identity.kind === "ca");
  const cert = certConfig(sources);
  const own = ownBootstrap(sources, xds, bootstrapAddresses(node.ips, env.bool("ISTIO_DUAL_STACK")).local);
  const generated = bootstrapConfig(sources, xds, { externalSds, admin: own.admin });
  const bootstrap = bootstrapSource(sources, generated, own);
  const envoy = envoyConfig(sources, bootstrap, own);
  return {
    role,
    node,
    log: logConfig(flags, findings),
    bootstrap,
    grpcBootstrap: grpcBootstrap(sources, xds),
    envoy,
    disableEnvoy: env.bool("DISABLE_ENVOY"),
    identity,
    ca,
    cert: { ...cert, rootFiles: rootFiles(sources, { identity, ca, cert, xds }) },
    certFiles: certFilesConfig(sources),
    sds: sdsConfig(sources, externalSds),
    status: statusConfig(sources),
    xds,
    dns: dnsConfig(sources),
    platform: platformConfig(sources),
    host: { coreDumps: env.bool("ISTIO_ENVOY_ENABLE_CORE_DUMP") },
    recorder: recorderConfig(env.all),
    exitOnZeroActiveConnections: env.bool("EXIT_ON_ZERO_ACTIVE_CONNECTIONS"),
    proxyConfig: renderProxyConfig(fields),
    warnings: [],
  };
}

function parseRole(text: string | undefined, findings: Findings): ProxyRole {
  const role = proxyRoles.find((known) => known === (text ?? "sidecar"));
  if (role === undefined)
    findings.problem(
      "role",
      `invalid proxy type: ${text ?? ""}${suggestion(text ?? "", proxyRoles)}; it is one of ${proxyRoles.join(", ")}`,
    );
  return role ?? "sidecar";
}

/** Whether another process serves SDS at the workload socket. */
function hasExternalSds(input: ConfigInput, env: Environment, findings: Findings): boolean {
  const source = env.string("ATTACHE_SDS_SOURCE");
  const path = `${places.workloadSockets}/${env.string("WORKLOAD_IDENTITY_SOCKET_FILE")}`;
  const served = input.system.servedSockets.has(path);
  if (source === "own") return false;
  if (source === "foreign" && !served) {
    findings.problem("ATTACHE_SDS_SOURCE", `no server listens at ${path}; start it, or use auto`);
  } else if (source !== "auto" && source !== "foreign") {
    findings.problem("ATTACHE_SDS_SOURCE", `${JSON.stringify(source)} is invalid; use own, foreign or auto`);
  }
  return served;
}

function readDownward(input: ConfigInput, path: string, findings: Findings) {
  const file = input.readFile(path);
  if (file.kind === "unreadable") findings.warn(path, file.problem);
  return file.kind === "text" ? parseDownwardApi(file.text, path, findings) : undefined;
}

/** Flags without effect, each with the value that is not warned about. */
const deadFlags = [
  ["tokenManagerPlugin", ""],
  ["vklog", 0],
  ["log_caller", ""],
  ["log_stacktrace_level", "default:none"],
] as const;

function warnOfDeadSettings({ flags, findings }: Sources, env: Readonly<Record<string, string>>): void {
  warnOfUnknownVariables(env, findings);
  for (const [name, spec] of Object.entries(variables)) {
    const isDead = "dead" in spec && spec.source !== "go";
    if (isDead && env[name] !== undefined) findings.warn(name, "is accepted, but has no effect");
  }
  for (const [name, nothing] of deadFlags) {
    if (flags[name] !== nothing) findings.warn(`--${name}`, "is accepted, but has no effect");
  }
  if (flags.stsPort !== 0)
    findings.warn("--stsPort", "the token exchange service was removed; nothing listens on this port");
}
