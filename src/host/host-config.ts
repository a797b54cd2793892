// SPDX-License-Identifier: Apache-2.0

export interface HostConfig {
  /** Lets the system write core files of agent and Envoy, which hold private keys. */
  readonly coreDumps: boolean;
}
