// SPDX-License-Identifier: Apache-2.0

/** The scopes of the agent's log; `default` is for records without a scope, and for scopes without a level of their own. */
export const logScopes: readonly string[] = [
  "default",
  "ca",
  "cert",
  "dns",
  "envoy",
  "grpc",
  "healthcheck",
  "host",
  "metrics",
  "sds",
  "status",
  "wasm",
  "xdsproxy",
];

/** Istio's names of scopes that have another name here. */
export const istioScopeNames: ReadonlyMap<string, string> = new Map([
  ["ads", "sds"],
  ["cache", "cert"],
  ["citadelclient", "ca"],
  ["monitoring", "metrics"],
  ["probes", "status"],
]);
