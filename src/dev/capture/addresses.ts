// SPDX-License-Identifier: Apache-2.0

/** The network of the captured workloads. It exists in their namespaces only, so it disturbs no other network. */
export const podAddresses = { web: "10.77.0.1", api: "10.77.0.2" } as const;
export const prefixLength = 24;

/** What web's application calls. No machine has the address. */
export const apiService = { name: "api", address: "10.96.0.10", port: 80 } as const;

/** The group of the agents, their Envoys and the forwarders: what they send is not captured. */
export const proxyGroup = 1_337;
