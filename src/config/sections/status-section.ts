// SPDX-License-Identifier: Apache-2.0
import { isIpv6 } from "../../lib/net/ip-address.ts";
import type { ScrapeConfig } from "../../model/scrape-target.ts";
import type { StatusConfig } from "../../status/status-config.ts";
import { parseAppProbes } from "./app-probes.ts";
import { parseScrapeTargets } from "./scrape-targets.ts";
import type { Sources } from "../sources/sources.ts";
import { metricsLocalhostOnly } from "./stats-section.ts";

/** The status server, what it probes and what it scrapes. */
export function statusConfig(sources: Sources): StatusConfig {
  const { env, proxy, node, flags, findings } = sources;
  const appHost = appHostOf(sources);
  const readiness = env.string("ATTACHE_READINESS");
  if (readiness !== "compatible" && readiness !== "strict") {
    findings.problem("ATTACHE_READINESS", `unknown mode ${JSON.stringify(readiness)}; use compatible or strict`);
  }
  return {
    port: proxy.statusPort,
    appProbes: parseAppProbes(env.string("ISTIO_KUBE_APP_PROBERS"), findings),
    appHost,
    probeSourceAddress: isIpv6(appHost === "localhost" ? (node.ips[0] ?? "") : appHost) ? "::6" : "127.0.0.6",
    probeKeepalive: env.bool("ENABLE_PROBE_KEEPALIVE_CONNECTIONS") || env.bool("ENABLE_PROBE_KEEPALIVE_CONNECTION"),
    probeHttp2: env.bool("ISTIO_ENABLE_HTTP2_PROBING"),
    metricsLocalhostOnly: metricsLocalhostOnly(sources),
    scrape: scrapeConfig(sources),
    readiness: readiness === "strict" ? "strict" : "compatible",
    debug: flags.profiling,
  };
}

/** Without a pod IP, the application is on this machine. */
function appHostOf({ env, node }: Sources): string {
  if (env.bool("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION")) return "localhost";
  return env.string("INSTANCE_IP") === "" ? "127.0.0.1" : (node.ips[0] ?? "127.0.0.1");
}

function scrapeConfig({ env, role, proxy, findings }: Sources): ScrapeConfig {
  const merged = env.bool("PILOT_AGENT_MERGE_ENVOY_STATS") && !env.bool("DISABLE_ENVOY");
  const scraped = role === "sidecar" && env.isSet("ISTIO_PROMETHEUS_ANNOTATIONS");
  return {
    envoyPort: merged ? env.int("ENVOY_PROMETHEUS_PORT") : undefined,
    targets: scraped ? parseScrapeTargets(env.string("ISTIO_PROMETHEUS_ANNOTATIONS"), proxy.statusPort, findings) : [],
  };
}
