// SPDX-License-Identifier: Apache-2.0
import type { XdsConfig } from "../../src/xds/xds-config.ts";

/** Of a proxy to a control plane on this machine, in plaintext. */
export function xdsConfigOf(socketPath: string, controlPlanePort: number): XdsConfig {
  return {
    socketPath,
    socketMode: 0o600,
    upstream: {
      addresses: [{ host: "127.0.0.1", port: controlPlanePort }],
      security: { kind: "plaintext" },
      authority: "istiod.istio-system.svc",
      tokenPath: undefined,
      clusterId: "bench",
      headers: {},
      httpProxy: undefined,
      connectTimeoutMs: 4_000,
      backoff: { firstMs: 100, factor: 2, maxMs: 1_500, idleMaxMs: 15_000 },
    },
    maxReceiveBytes: 4 * 1024 * 1024,
    maxStreams: 100_000,
    keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
    cache: undefined,
  };
}
