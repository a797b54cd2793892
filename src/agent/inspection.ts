// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { buildInfo } from "../lib/build-info.ts";
import type { LogLevelSwitch } from "../lib/log/log-levels.ts";
import type { StatusSources } from "../status/index.ts";
import type { XdsProxy } from "../xds/index.ts";
import type { AgentDeps } from "./agent.ts";
import type { DnsModule } from "./dns-module.ts";
import type { Ending } from "./ending.ts";
import type { Identity } from "./identity-modules.ts";

interface Inspected {
  readonly config: AgentConfig;
  readonly identity: Identity;
  readonly xds: XdsProxy | undefined;
  readonly dns: DnsModule | undefined;
  readonly ending: Ending;
  readonly logLevels: LogLevelSwitch;
  readonly redact: AgentDeps["redact"];
}

/** Joins the debug endpoints to what the modules tell of themselves. */
export function createInspection({
  config,
  identity,
  xds,
  dns,
  ending,
  logLevels,
  redact,
}: Inspected): NonNullable<StatusSources["inspect"]> {
  return {
    version: `${buildInfo.version} ${buildInfo.revision}`,
    certificates: () => {
      const { spiffeId, serial, notBeforeMs, notAfterMs } = identity.status() ?? {};
      if (spiffeId === undefined || serial === undefined || notBeforeMs === undefined || notAfterMs === undefined) {
        return [];
      }
      return [{ resourceName: "default", spiffeId, serial, notBeforeMs, notAfterMs }];
    },
    node: () => redact({ ...config.node, locality: { ...config.node.locality } }),
    configuration: () => redact(config.proxyConfig),
    nameTable: () => dns?.debugTable(),
    drain: () => ending.reason() ?? (ending.wantsDrain ? "not draining" : "draining by request"),
    logLevels,
    ...(xds === undefined ? {} : { xds: () => xdsFacts(xds) }),
  };
}

type XdsFacts = ReturnType<NonNullable<NonNullable<StatusSources["inspect"]>["xds"]>>;

/** Envoy's types as they stand; a refusal is told also when the stream that it came on is gone. */
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
