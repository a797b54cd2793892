// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../agent-config.ts";
import type { Findings } from "../config-error.ts";

interface NamedPort {
  readonly setting: string;
  readonly port: number;
}

/** Reports ports of agent and Envoy that are configured twice: the second listener could not open. */
export function refusePortConflicts(config: Omit<AgentConfig, "warnings">, findings: Findings): void {
  const settings = new Map<number, string>();
  for (const { setting, port } of [...agentPorts(config), ...envoyPorts(config)]) {
    if (port <= 0) continue;
    const other = settings.get(port);
    if (other === undefined) settings.set(port, setting);
    else findings.problem(setting, `port ${String(port)} is already that of ${other}; give one of them another port`);
  }
}

const inProxyConfig = (field: string): string => `PROXY_CONFIG, field ${field}`;

function agentPorts({ status, dns }: Omit<AgentConfig, "warnings">): readonly NamedPort[] {
  return [
    { setting: inProxyConfig("statusPort"), port: status.port },
    { setting: "DNS_PROXY_ADDR", port: dns?.listen.port ?? 0 },
  ];
}

/** What an override makes of Envoy's listeners is not known here. */
function envoyPorts({ bootstrap, disableEnvoy }: Omit<AgentConfig, "warnings">): readonly NamedPort[] {
  if (disableEnvoy || bootstrap.kind !== "generated" || bootstrap.override !== undefined) return [];
  const { admin, ports } = bootstrap.config;
  return [
    { setting: inProxyConfig("proxyAdminPort"), port: "port" in admin ? admin.port : 0 },
    { setting: "ENVOY_PROMETHEUS_PORT", port: ports.prometheus },
    { setting: "ENVOY_STATUS_PORT", port: ports.status },
    { setting: "ENVOY_SECURE_METRICS_PORT", port: ports.secureMetrics },
    { setting: "ENVOY_SECURE_MERGED_METRICS_PORT", port: ports.secureMergedMetrics },
  ];
}
