// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import type { AgentConfig } from "../config/agent-config.ts";
import type { SupervisedEnvoy } from "../envoy/index.ts";
import { buildInfo } from "../lib/build-info.ts";
import type { StatusSources } from "../status/index.ts";
import type { XdsProxy } from "../xds/index.ts";
import type { DnsProxy } from "./discovery.ts";
import type { Identity } from "./identity.ts";
import type { Shutdown } from "./lifecycle.ts";
import type { ModuleDeps } from "./types.ts";

interface DebugInfoSources {
  readonly config: AgentConfig;
  readonly identity: Identity;
  readonly xds: XdsProxy | undefined;
  readonly dns: DnsProxy | undefined;
  readonly shutdown: Shutdown;
  /** Undefined without Envoy. */
  readonly envoy: Pick<SupervisedEnvoy, "current"> | undefined;
}

type DebugInfo = NonNullable<StatusSources["inspect"]>;

/** The content of the debug endpoints, by module. */
export function createDebugInfo(
  { config, identity, xds, dns, shutdown, envoy }: DebugInfoSources,
  { logLevels, redact, budgets }: Pick<ModuleDeps, "logLevels" | "redact" | "budgets">,
): DebugInfo {
  return {
    version: `${buildInfo.version} ${buildInfo.revision}`,
    certificates: () => {
      const { spiffeId, serial, notBeforeMs, notAfterMs } = identity.status() ?? {};
      if (spiffeId === undefined || serial === undefined || notBeforeMs === undefined || notAfterMs === undefined) {
        return [];
      }
      return [{ resourceName: "default", spiffeId, serial, notBeforeMs, notAfterMs }];
    },
    identity: () => publicIdentity(config, identity),
    node: () => redact({ ...config.node, locality: { ...config.node.locality } }),
    configuration: () => redact(config.proxyConfig),
    nameTable: () => dns?.debugTable(),
    drain: () => shutdown.reason() ?? (shutdown.shouldDrain ? "not draining" : "draining by request"),
    budgets: () => budgets.facts(),
    logLevels,
    ...(envoy === undefined ? {} : { envoyAdmin: () => ({ ...envoy.current.admin }) }),
    ...(xds === undefined ? {} : { xds: () => xdsFacts(xds) }),
  };
}

/** No part of it is secret: every peer of the workload receives the chain. */
function publicIdentity({ identity, sds }: AgentConfig, { certs }: Identity): unknown {
  const { chainPem, trust } = certs?.published() ?? {};
  const domains = trust?.domains ?? (trust === undefined ? [] : [{ rootsPem: trust.rootsPem, isOwn: true }]);
  const sdsSocketPath = resolve(identity.kind === "external-sds" ? identity.socketPath : sds.socketPath);
  const { state, source, rotationDueMs, attempts, failuresInARow, lastError } = certs?.status() ?? {};
  const renewal = { state, source, rotationDueMs, attempts, failuresInARow, lastError };
  return { sdsSocketPath, chainPem, roots: domains, ...(certs === undefined ? {} : { renewal }) };
}

type XdsFacts = ReturnType<NonNullable<DebugInfo["xds"]>>;

/** The resource types of Envoy's stream. A rejected type is listed even when its stream has closed. */
function xdsFacts(xds: XdsProxy): XdsFacts {
  const { streams, rejected, cache } = xds.status();
  const stream = streams.find((candidate) => candidate.isEnvoy);
  const versions = new Map((stream?.types ?? []).map(({ typeUrl, version }) => [typeUrl, version]));
  const typeUrls = new Set([...versions.keys(), ...rejected.map(({ typeUrl }) => typeUrl)]);
  const types = [...typeUrls].map((typeUrl) => {
    const found = rejected.find((candidate) => candidate.typeUrl === typeUrl);
    if (found === undefined) return { typeUrl, version: versions.get(typeUrl) ?? "" };
    const { versionInUse, versionRejected, sinceMs, resources, reason } = found;
    return { typeUrl, version: versionInUse, refusal: { version: versionRejected, sinceMs, resources, reason } };
  });
  return { connected: stream?.isConnected ?? false, types, ...(cache === undefined ? {} : { cache }) };
}
