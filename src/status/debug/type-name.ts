// SPDX-License-Identifier: Apache-2.0

/** As in Istio and Envoy, by the last part of the type's URL. */
const typeNames: Readonly<Record<string, string>> = {
  Listener: "listeners (LDS)",
  Cluster: "clusters (CDS)",
  RouteConfiguration: "routes (RDS)",
  ScopedRouteConfiguration: "scoped routes (SRDS)",
  VirtualHost: "virtual hosts (VHDS)",
  ClusterLoadAssignment: "endpoints (EDS)",
  Secret: "secrets (SDS)",
  Runtime: "runtime (RTDS)",
  TypedExtensionConfig: "extensions (ECDS)",
  NameTable: "name table (NDS)",
  ProxyConfig: "mesh configuration (PCDS)",
};

/** `clusters (CDS)`; of a type that is not known here the last part of its URL. */
export function typeName(typeUrl: string): string {
  const last = typeUrl.slice(typeUrl.lastIndexOf(".") + 1);
  return typeNames[last] ?? last;
}
