// SPDX-License-Identifier: Apache-2.0
import { type FlagSpecs, type ParsedFlags, parseFlags, type FlagSpec } from "../../lib/flags.ts";
import { proxyRoles } from "../../model/node.ts";

function flag<T extends FlagSpec["type"]>(type: T, fallback: string, meaning: string): FlagSpec & { readonly type: T } {
  return { type, default: fallback, meaning };
}

/** Flags that every command takes. Source: pilot-agent's log options. */
export const globalFlags = {
  log_output_level: flag("string", "", "comma list of SCOPE:LEVEL or LEVEL: debug, info, warn, error, fatal, none"),
  log_stacktrace_level: flag("string", "default:none", "same form; checked, without effect"),
  log_caller: flag("string", "", "accepted, without effect"),
  log_as_json: flag("bool", "false", "log lines as JSON, Envoy's too"),
  log_target: flag("strings", "stdout", "file to log to, or stdout, stderr; may be repeated"),
  vklog: flag("int", "0", "accepted, without effect"),
} as const satisfies FlagSpecs;

/** Flags of `proxy`. Source: pilot-agent's proxy command. */
export const proxyFlags = {
  ...globalFlags,
  domain: flag("string", "", "DNS domain of the proxy; default NAMESPACE.svc.cluster.local"),
  meshConfig: flag("string", "./etc/istio/config/mesh", "file with the mesh's settings; may be missing"),
  proxyLogLevel: flag("string", "warning", "Envoy's log level; may hold COMPONENT:LEVEL items"),
  proxyComponentLogLevel: flag("string", "", "component log levels, when proxyLogLevel has none"),
  concurrency: flag("int", "0", "Envoy's worker threads, over ProxyConfig; 0 is not set"),
  serviceCluster: flag("string", "istio-proxy", "used only when ProxyConfig sets an empty serviceCluster"),
  templateFile: flag("string", "", "custom bootstrap template; any but the image's own is refused"),
  outlierLogPath: flag("string", "", "where Envoy logs outlier detection"),
  profiling: flag("bool", "true", "profiles on the status port"),
  stsPort: flag("int", "0", "accepted; only told to the control plane"),
  tokenManagerPlugin: flag("string", "", "accepted, without effect"),
} as const satisfies FlagSpecs;

/** Never takes the word after an unknown flag for its value when that word is a role. */
export function parseProxyFlags(args: readonly string[]): ParsedFlags<typeof proxyFlags> {
  const roles = new Set<string>(proxyRoles);
  return parseFlags(args, proxyFlags, (word) => roles.has(word));
}
