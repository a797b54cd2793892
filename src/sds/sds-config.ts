// SPDX-License-Identifier: Apache-2.0

export interface SdsConfig {
  readonly socketPath: string;
  /** 0600 when agent and Envoy share a user; wider only where they do not. */
  readonly socketMode: number;
}
