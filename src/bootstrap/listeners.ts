// SPDX-License-Identifier: Apache-2.0
import base from "../../bootstrap/listeners.json" with { type: "json" };
import type { JsonObject, JsonValue } from "../lib/json.ts";
import type { BootstrapConfig } from "./bootstrap-config.ts";
import { fillSlots } from "./slots.ts";
import { renderDownstreamTls } from "./tls.ts";

interface Listener {
  readonly address: string;
  readonly additionalAddress: string | undefined;
  readonly port: number;
  readonly statPrefix: string;
  /** Path prefix to cluster. */
  readonly routes: readonly (readonly [prefix: string, cluster: string])[];
  readonly listenerFilters?: readonly JsonObject[];
  readonly httpFilters?: readonly JsonObject[];
  readonly mutualTls?: boolean;
}

/** Every static listener, in the order in which the reference writes them. */
export function renderListeners(config: BootstrapConfig): readonly JsonObject[] {
  const { addresses, ports, stats } = config;
  const scope = stats.localhostOnly ? "local" : "wildcard";
  const prometheus: Listener = {
    address: addresses[scope],
    additionalAddress: addresses.additional?.[scope],
    port: ports.prometheus,
    statPrefix: "stats",
    routes: [["/stats/prometheus", "prometheus_stats"]],
    httpFilters: stats.compression ? base.compressors : [],
  };
  const secure = {
    address: addresses.wildcard,
    additionalAddress: addresses.additional?.wildcard,
    mutualTls: true,
  };
  const secureMetrics: Listener = {
    ...secure,
    port: ports.secureMetrics,
    statPrefix: "secure_stats",
    routes: [["/stats/prometheus", "prometheus_stats"]],
  };
  const secureMerged: Listener = {
    ...secure,
    port: ports.secureMergedMetrics,
    statPrefix: "secure_merged_stats",
    routes: [
      ["/stats/prometheus", "agent"],
      ["/metrics", "agent"],
    ],
  };
  const status: Listener = {
    address: addresses.wildcard,
    additionalAddress: addresses.additional?.wildcard,
    port: ports.status,
    statPrefix: "agent",
    routes: [["/healthz/ready", "agent"]],
    listenerFilters: config.statusProxyProtocol ? [base.proxyProtocol] : [],
  };
  return [prometheus, secureMetrics, secureMerged, status].filter(({ port }) => port !== 0).map(renderListener);
}

function renderListener(listener: Listener): JsonObject {
  const { address, additionalAddress, port, mutualTls = false } = listener;
  const listenerFilters = [...(mutualTls ? [base.tlsInspector] : []), ...(listener.listenerFilters ?? [])];
  const routes: readonly JsonValue[] = listener.routes.map(([prefix, cluster]) => ({
    match: { prefix },
    route: { cluster },
  }));
  return fillSlots(base.http, {
    name: `${address}_${String(port)}`,
    address,
    port,
    additionalAddresses:
      additionalAddress === undefined
        ? undefined
        : [fillSlots(base.additionalAddress, { address: additionalAddress, port })],
    listenerFilters: listenerFilters.length === 0 ? undefined : listenerFilters,
    filterChainMatch: mutualTls ? { transport_protocol: "tls" } : undefined,
    transportSocket: mutualTls ? renderDownstreamTls() : undefined,
    statPrefix: listener.statPrefix,
    routes,
    httpFilters: [...(listener.httpFilters ?? []), base.router],
  });
}
