// SPDX-License-Identifier: Apache-2.0
import { type FlagSpecs, type ParsedFlags, parseFlags, type FlagSpec } from "../../lib/flags.ts";
import { proxyRoles } from "../../model/node.ts";

function flag<T extends FlagSpec["type"]>(type: T, fallback: string, meaning: string): FlagSpec & { readonly type: T } {
  return { type, default: fallback, meaning };
}

/** Flags of every command. Source: pilot-agent's log options. */
export const globalFlags = {
  log_output_level: flag(
    "string",
    "",
    "comma-separated SCOPE:LEVEL or LEVEL: debug, info, warning, error, fatal or none",
  ),
  log_stacktrace_level: flag("string", "default:none", "same format; checked, without effect"),
  log_caller: flag("string", "", "accepted, without effect"),
  log_as_json: flag("bool", "false", "write log lines as JSON, Envoy's included"),
  log_target: flag("strings", "stdout", "stdout, stderr or a file; may be repeated"),
  vklog: flag("int", "0", "accepted, without effect"),
} as const satisfies FlagSpecs;

/** Flags of `proxy`. Source: pilot-agent's proxy command. */
export const proxyFlags = {
  ...globalFlags,
  domain: flag("string", "", "DNS domain of the proxy; if empty, NAMESPACE.svc.cluster.local"),
  meshConfig: flag("string", "./etc/istio/config/mesh", "mesh configuration file; may be missing"),
  proxyLogLevel: flag("string", "warning", "Envoy's log level; may contain COMPONENT:LEVEL items"),
  proxyComponentLogLevel: flag("string", "", "log levels of Envoy's components, if proxyLogLevel has none"),
  concurrency: flag("int", "0", "number of Envoy's worker threads; overrides ProxyConfig; 0 means not set"),
  serviceCluster: flag("string", "istio-proxy", "service cluster of Envoy, if ProxyConfig does not set serviceCluster"),
  templateFile: flag("string", "", "custom bootstrap template; not supported, except for the path of Istio's image"),
  outlierLogPath: flag("string", "", "file for Envoy's outlier detection log"),
  profiling: flag("bool", "true", "serve debug endpoints and profiles on the status port"),
  stsPort: flag("int", "0", "accepted; reported to the control plane, otherwise without effect"),
  tokenManagerPlugin: flag("string", "", "accepted, without effect"),
} as const satisfies FlagSpecs;

/** A role is never read as the value of an unknown flag before it. */
export function parseProxyFlags(args: readonly string[]): ParsedFlags<typeof proxyFlags> {
  const roles = new Set<string>(proxyRoles);
  return parseFlags(args, proxyFlags, (word) => roles.has(word));
}
