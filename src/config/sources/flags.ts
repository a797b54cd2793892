// SPDX-License-Identifier: Apache-2.0
import { type FlagSpecs, type ParsedFlags, parseFlags, type FlagSpec } from "../../lib/flags.ts";
import { proxyRoles } from "../../model/node.ts";

function flag<T extends FlagSpec["type"]>(type: T, fallback: string, meaning: string): FlagSpec & { readonly type: T } {
  return { type, default: fallback, meaning };
}

/** Flags of every command. Source: pilot-agent's log options. */
export const globalFlags = {
  log_output_level: flag("string", "", "comma-separated SCOPE:LEVEL or LEVEL: debug, info, warn, error, fatal, none"),
  log_stacktrace_level: flag("string", "default:none", "same format; checked, but without effect"),
  log_caller: flag("string", "", "accepted, without effect"),
  log_as_json: flag("bool", "false", "writes log lines as JSON, Envoy's too"),
  log_target: flag("strings", "stdout", "stdout, stderr or a file; may be repeated"),
  vklog: flag("int", "0", "accepted, without effect"),
} as const satisfies FlagSpecs;

/** Flags of `proxy`. Source: pilot-agent's proxy command. */
export const proxyFlags = {
  ...globalFlags,
  domain: flag("string", "", "DNS domain of the proxy; empty for NAMESPACE.svc.cluster.local"),
  meshConfig: flag("string", "./etc/istio/config/mesh", "mesh configuration file; may be missing"),
  proxyLogLevel: flag("string", "warning", "Envoy's log level; may contain COMPONENT:LEVEL items"),
  proxyComponentLogLevel: flag("string", "", "Envoy's component log levels, when proxyLogLevel has none"),
  concurrency: flag("int", "0", "Envoy's worker threads; overrides ProxyConfig; 0 for not set"),
  serviceCluster: flag("string", "istio-proxy", "only used when serviceCluster is empty in ProxyConfig"),
  templateFile: flag("string", "", "custom bootstrap template; not supported, except for the path of Istio's image"),
  outlierLogPath: flag("string", "", "file for Envoy's log of outlier detection"),
  profiling: flag("bool", "true", "serves profiles on the status port"),
  stsPort: flag("int", "0", "accepted; only reported to the control plane"),
  tokenManagerPlugin: flag("string", "", "accepted, without effect"),
} as const satisfies FlagSpecs;

/** A role is never read as the value of an unknown flag before it. */
export function parseProxyFlags(args: readonly string[]): ParsedFlags<typeof proxyFlags> {
  const roles = new Set<string>(proxyRoles);
  return parseFlags(args, proxyFlags, (word) => roles.has(word));
}
