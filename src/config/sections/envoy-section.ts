// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import { isIpv6 } from "../../lib/net/ip-address.ts";
import type { DrainConfig, EnvoyConfig, HotRestartConfig, RestartConfig } from "../../envoy/envoy-config.ts";
import { envoyArguments, splitLogLevels } from "./envoy-command-line.ts";
import { protoDurationMs } from "../proxy-config/proxy-config.ts";
import type { BootstrapSource } from "../agent-config.ts";
import type { Sources } from "../sources/sources.ts";
import { compliancePolicy, envoyUser } from "./trust-section.ts";

/** Envoy exits 8 to 15 ms after SIGTERM (observed with Envoy 1.40). One that takes much longer does not exit at all. */
const killAfterMs = 300;
/** The part of the pod's grace period for the agent's own shutdown. */
const graceMarginMs = 1_000;
/** The longest wait for open connections, where no period is set. */
const longestDrainMs = 3_600_000;

/** Source: `envoy --help` of 1.40 */
const envoyLevels = ["trace", "debug", "info", "warn", "warning", "error", "critical", "off"];

/** How Envoy is started, drained and stopped. */
export function envoyConfig(
  sources: Sources,
  bootstrap: BootstrapSource,
  { admin, expects }: Pick<EnvoyConfig, "admin" | "expects">,
): EnvoyConfig {
  const { env, proxy, flags, findings, input, node } = sources;
  const log = splitLogLevels(flags.proxyLogLevel, flags.proxyComponentLogLevel);
  for (const item of log.dropped)
    findings.warn("--proxyLogLevel", `${item} is neither LEVEL nor COMPONENT:LEVEL; it is ignored`);
  if (log.level !== "" && !envoyLevels.includes(log.level)) {
    findings.problem(
      "--proxyLogLevel",
      `unknown level ${JSON.stringify(log.level)}; it is one of ${envoyLevels.join(", ")}`,
    );
  }
  return {
    binaryPath: proxy.binaryPath,
    args: envoyArguments({
      bootstrapPath: bootstrap.path,
      drainSeconds: Math.trunc(protoDurationMs(proxy.drainDuration) / 1_000),
      localAddressVersion: node.ips.every((ip) => isIpv6(ip)) ? "v6" : "v4",
      fileFlushIntervalMs:
        proxy.fileFlushInterval === undefined ? 1_000 : Math.trunc(protoDurationMs(proxy.fileFlushInterval)),
      fileFlushMinSizeKb: proxy.fileFlushMinSizeKb ?? 0,
      log,
      skipDeprecatedLogs: env.bool("ENVOY_SKIP_DEPRECATED_LOGS"),
      coreDump: env.bool("ISTIO_ENVOY_ENABLE_CORE_DUMP"),
      concurrency: proxy.concurrency ?? 0,
    }),
    env: envoyEnvironment(sources),
    user: envoyUser(env.string("DNS_PROXY_ADDR"), input.system.uid),
    admin,
    expects,
    drain: drainConfig(sources),
    restarts: restartConfig(sources),
    hotRestart: hotRestartConfig(sources),
  };
}

const fipsCiphers =
  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

/** The agent's environment; under FIPS also the ciphers of Envoy's Google gRPC client. */
function envoyEnvironment(sources: Sources): Readonly<Record<string, string>> {
  const policy = compliancePolicy(sources);
  const fips = policy === "fips-140-2" || policy === "fips-140-3";
  return fips ? { ...sources.env.all, GRPC_SSL_CIPHER_SUITES: fipsCiphers } : sources.env.all;
}

function drainConfig({ env, proxy, role, fieldSource, findings }: Sources): DrainConfig {
  const graceSeconds = env.int("ATTACHE_TERMINATION_GRACE");
  const notNegative = (name: string, value: number): number => {
    if (value < 0) findings.warn(name, "is negative; 0 is used");
    return Math.max(0, value);
  };
  notNegative("ATTACHE_TERMINATION_GRACE", graceSeconds);
  if (graceSeconds > 0 && graceSeconds * 1_000 <= graceMarginMs + killAfterMs)
    findings.warn("ATTACHE_TERMINATION_GRACE", "leaves no time for a drain; use 2 seconds or more");
  const minimum = "MINIMUM_DRAIN_DURATION";
  const minimumMs = notNegative(minimum, env.durationMs(minimum));
  const endsWhenIdle = env.bool("EXIT_ON_ZERO_ACTIVE_CONNECTIONS");
  const drainMs = endsWhenIdle
    ? longestDrainMs
    : notNegative(fieldSource("terminationDrainDuration"), protoDurationMs(proxy.terminationDrainDuration));
  // Only a minimum that is set makes the period longer, not the default one.
  const periodMs =
    graceSeconds > 0
      ? Math.max(0, graceSeconds * 1_000 - graceMarginMs - killAfterMs)
      : Math.max(drainMs, env.isSet(minimum) ? minimumMs : 0);
  if (env.isSet(minimum) && minimumMs > periodMs) {
    const limit = `ATTACHE_TERMINATION_GRACE=${String(graceSeconds)} leaves for the drain`;
    findings.warn(minimum, `is longer than the ${String(periodMs / 1_000)} s that ${limit}, which are used`);
  }
  const ports = [
    env.int("ENVOY_STATUS_PORT"),
    env.int("ENVOY_PROMETHEUS_PORT"),
    env.int("ENVOY_SECURE_METRICS_PORT"),
    env.int("ENVOY_SECURE_MERGED_METRICS_PORT"),
  ];
  return {
    direction: role === "sidecar" ? "inbound" : "all",
    periodMs,
    minimumMs: Math.min(minimumMs, periodMs),
    jitterMs: Math.min(notNegative("ATTACHE_DRAIN_JITTER", env.durationMs("ATTACHE_DRAIN_JITTER")), periodMs),
    killAfterMs,
    endsUncounted: endsWhenIdle && graceSeconds <= 0,
    countsSockets: env.all["ISTIO_META_INTERCEPTION_MODE"] !== "TPROXY",
    uncountedPorts: ports.filter((port) => port > 0),
  };
}

function restartConfig({ env }: Sources): RestartConfig | undefined {
  const budget = env.int("ATTACHE_ENVOY_RESTARTS");
  return budget > 0 ? { budget, windowMs: 60_000 } : undefined;
}

function hotRestartConfig({ env, proxy, input }: Sources): HotRestartConfig | undefined {
  if (!env.bool("ATTACHE_HOT_RESTART")) return undefined;
  const given = env.int("ATTACHE_HOT_RESTART_BASE_ID");
  return {
    baseId: given >= 0 ? given : stableId(resolve(input.system.directory, proxy.configPath)),
    liveWithinMs: env.durationMs("ATTACHE_HOT_RESTART_TIMEOUT"),
    parentShutdownMs: protoDurationMs(proxy.drainDuration) + 5_000,
  };
}

/** The same number for the same text, 0 to 65535 (FNV-1a, folded). */
function stableId(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return (hash ^ (hash >>> 16)) & 0xffff;
}
