// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { deadline, type Clock } from "../lib/async/clock.ts";
import { orAborted } from "../lib/async/tasks.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { createLogger } from "../lib/log/log.ts";
import { RepeatedWarnings } from "../lib/log/repeated-warnings.ts";
import { createTlsClient } from "../lib/net/tls-client.ts";
import { tlsErrorIn } from "../lib/net/tls-error.ts";
import type { Budgets } from "../model/limits.ts";
import type { ReadToken } from "../model/token.ts";
import { connectUpstream } from "./upstream/connection.ts";
import type { XdsConfig } from "./xds-config.ts";

/** How a control plane responds to this workload. `unknown`: it opened the stream, and did not respond in time. */
export interface ControlPlaneProbe {
  readonly kind: "accepted" | "rejected" | "unavailable" | "unknown";
  /** One line; may have the control plane's text in it. */
  readonly detail: string;
}

export interface ControlPlaneProbeDeps {
  readonly clock: Clock;
  readonly budgets: Budgets;
  readonly readToken?: ReadToken | undefined;
}

/**
 * Opens a stream and sends a request that names no node. A control plane authenticates the caller first, and then
 * rejects the request, so no proxy is registered.
 * Source: istio pilot/pkg/xds/ads.go
 * @param timeoutMs for the response; connecting has the configured limit
 * @throws the signal's reason
 */
export async function probeControlPlane(
  config: XdsConfig,
  timeoutMs: number,
  { clock, budgets, readToken }: ControlPlaneProbeDeps,
  signal: AbortSignal,
): Promise<ControlPlaneProbe> {
  const log = createLogger(
    () => undefined,
    () => clock.now(),
    () => new Map(),
  );
  const { security } = config.upstream;
  const tls = security.kind === "tls" ? createTlsClient(security) : undefined;
  const deps = { connectionWarnings: new RepeatedWarnings(log, clock), clock, budgets, tls, readToken };
  try {
    await using connection = await connectUpstream(config, "sotw", deps, signal);
    using limit = deadline(clock, timeoutMs, signal);
    const { stream } = connection;
    await stream.write(new Uint8Array());
    const first = stream.responses[Symbol.asyncIterator]().next();
    await orAborted(first, limit.signal);
    return { kind: "accepted", detail: "it accepts the stream" };
  } catch (error) {
    signal.throwIfAborted();
    return judge(error, timeoutMs);
  }
}

function judge(error: unknown, timeoutMs: number): ControlPlaneProbe {
  if (!(error instanceof GrpcError)) {
    return { kind: "unknown", detail: `it accepts the stream, and sent nothing within ${String(timeoutMs)} ms` };
  }
  switch (error.status) {
    case GrpcStatus.unauthenticated:
    case GrpcStatus.permissionDenied:
      return { kind: "rejected", detail: error.message };
    case GrpcStatus.unimplemented:
      return { kind: "unavailable", detail: "it has no ADS service" };
    case GrpcStatus.unavailable:
    case GrpcStatus.deadlineExceeded:
    case GrpcStatus.cancelled:
      return { kind: "unavailable", detail: tlsErrorIn(error)?.message ?? describeError(error) };
    default:
      return { kind: "accepted", detail: "it authenticates this workload" };
  }
}
