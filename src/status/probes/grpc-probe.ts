// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from "node:net";
import {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
} from "../../gen/grpc/health/v1/health.ts";
import type { Clock } from "../../lib/async/clock.ts";
import { createGrpcChannel } from "../../lib/grpc/client.ts";
import { GrpcError, GrpcStatus, grpcStatusName } from "../../lib/grpc/status.ts";
import { formatHostPort } from "../../lib/net/host-port.ts";
import type { ProbeAddress, ProbeLimits, ProbeOutcome } from "./probe-outcome.ts";

export interface GrpcProbeOptions {
  readonly address: ProbeAddress;
  readonly port: number;
  /** Empty means the server as a whole. */
  readonly service: string;
  /** For connection and response together. The request carries the remaining time. */
  readonly timeoutMs: number;
  /** Precedes the agent's own. */
  readonly userAgent: string | undefined;
  readonly limits: Pick<ProbeLimits, "bodyBytes">;
}

const checkPath = "/grpc.health.v1.Health/Check";

/**
 * Calls the standard health service over plaintext HTTP/2. SERVING passes, every other status fails.
 * @throws when the application sends no response
 * Source: grpc.health.v1, kubernetes pkg/probe/grpc
 */
export async function probeGrpc(
  options: GrpcProbeOptions,
  deps: { readonly clock: Clock },
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { address, port, service, timeoutMs, userAgent, limits } = options;
  const dial = (_host: string, _port: number, stop: AbortSignal): Promise<Socket> => dialFrom(address, port, stop);
  await using channel = createGrpcChannel(
    {
      target: { kind: "tcp", host: address.host, port, dial },
      authority: formatHostPort({ host: address.host, port }),
      connectTimeoutMs: timeoutMs,
      maxReceiveBytes: limits.bodyBytes.size,
    },
    deps,
  );
  try {
    const request = HealthCheckRequest.encode(HealthCheckRequest.fromPartial({ service })).finish();
    const metadata = userAgent === undefined ? {} : { "user-agent": userAgent };
    const { status } = HealthCheckResponse.decode(
      await channel.unary(checkPath, request, { metadata, timeoutMs, signal }),
    );
    if (status === HealthCheckResponse_ServingStatus.SERVING) return { kind: "passed" };
    return { kind: "failed", side: "app", reason: `the health service responded with ${servingName(status)}` };
  } catch (error) {
    if (!(error instanceof GrpcError) || signal.aborted) throw error;
    return { kind: "failed", side: "app", reason: reasonOf(error) };
  }
}

/** @throws the cause where the connection failed */
function reasonOf({ status, detail, cause }: GrpcError): string {
  if (status === GrpcStatus.unavailable && cause instanceof Error) throw cause;
  if (status === GrpcStatus.unimplemented) {
    return "the server does not implement the gRPC health protocol (grpc.health.v1.Health)";
  }
  if (status === GrpcStatus.deadlineExceeded) return "no response within the probe's timeout";
  return `health check failed with ${grpcStatusName(status)}: ${detail}`;
}

function servingName(status: number): string {
  const names = new Map<number, string>(
    Object.entries(HealthCheckResponse_ServingStatus).map(([name, value]) => [value, name]),
  );
  return names.get(status) ?? String(status);
}

function dialFrom(address: ProbeAddress, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...address, port, signal });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.removeListener("error", reject);
      resolve(socket);
    });
  });
}
