// SPDX-License-Identifier: Apache-2.0

const prefix = "type.googleapis.com/";

/** Types that the proxy handles specially. */
export const typeUrls = {
  listener: `${prefix}envoy.config.listener.v3.Listener`,
  cluster: `${prefix}envoy.config.cluster.v3.Cluster`,
  secret: `${prefix}envoy.extensions.transport_sockets.tls.v3.Secret`,
  extension: `${prefix}envoy.config.core.v3.TypedExtensionConfig`,
  nameTable: `${prefix}istio.networking.nds.v1.NameTable`,
  proxyConfig: `${prefix}istio.mesh.v1alpha1.ProxyConfig`,
  health: `${prefix}istio.v1.HealthInformation`,
} as const;

/** Short names as in Istio and Envoy, for metrics and logs. */
const shortNames: ReadonlyMap<string, string> = new Map(
  Object.entries({
    [typeUrls.listener]: "lds",
    [typeUrls.cluster]: "cds",
    [`${prefix}envoy.config.route.v3.RouteConfiguration`]: "rds",
    [`${prefix}envoy.config.route.v3.ScopedRouteConfiguration`]: "srds",
    [`${prefix}envoy.config.route.v3.VirtualHost`]: "vhds",
    [`${prefix}envoy.config.endpoint.v3.ClusterLoadAssignment`]: "eds",
    [typeUrls.secret]: "sds",
    [`${prefix}envoy.service.runtime.v3.Runtime`]: "rtds",
    [typeUrls.extension]: "ecds",
    [typeUrls.nameTable]: "nds",
    [typeUrls.proxyConfig]: "pcds",
  }),
);

/** The short name of a type; one of a fixed set, so that it can be a metric label. */
export function shortTypeName(typeUrl: string): string {
  return shortNames.get(typeUrl) ?? "other";
}
