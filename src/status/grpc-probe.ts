// SPDX-License-Identifier: Apache-2.0
import { connect, type Socket } from "node:net";
import {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus,
} from "../gen/grpc/health/v1/health.ts";
import type { Clock } from "../lib/async/clock.ts";
import { createGrpcChannel } from "../lib/grpc/client.ts";
import { GrpcError, GrpcStatus, grpcStatusName } from "../lib/grpc/status.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { failedProbe, type ProbeAddress } from "./probe-address.ts";
import type { ProbeOutcome } from "./probe-outcome.ts";

export interface GrpcProbeOptions {
  readonly address: ProbeAddress;
  readonly port: number;
  /** Empty asks for the server as a whole. */
  readonly service: string;
  /** For the connection and the answer together; the server is told what is left of it. */
  readonly timeoutMs: number;
  /** Put before the agent's own. */
  readonly userAgent: string | undefined;
}

const checkPath = "/grpc.health.v1.Health/Check";

/**
 * Asks the standard health service over plaintext HTTP/2. SERVING is a success, every other answer a failure.
 * Source: grpc.health.v1, kubernetes pkg/probe/grpc
 */
export async function probeGrpc(
  options: GrpcProbeOptions,
  deps: { readonly clock: Clock },
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { address, port, service, timeoutMs, userAgent } = options;
  const dial = (_host: string, _port: number, stop: AbortSignal): Promise<Socket> => dialFrom(address, port, stop);
  await using channel = createGrpcChannel(
    {
      target: { kind: "tcp", host: address.host, port, dial },
      authority: formatHostPort({ host: address.host, port }),
      connectTimeoutMs: timeoutMs,
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
    return { kind: "failed", side: "app", reason: `the health service answered ${servingName(status)}` };
  } catch (error) {
    return grpcFailure(error, signal);
  }
}

function grpcFailure(error: unknown, signal: AbortSignal): ProbeOutcome {
  if (!(error instanceof GrpcError) || signal.aborted) return failedProbe(error, signal);
  if (error.status === GrpcStatus.unimplemented) {
    const reason = "the server does not implement the gRPC health protocol (grpc.health.v1.Health)";
    return { kind: "failed", side: "app", reason };
  }
  if (error.status === GrpcStatus.deadlineExceeded) {
    return { kind: "failed", side: "app", reason: "no answer within the probe's timeout" };
  }
  if (error.status === GrpcStatus.unavailable && error.cause !== undefined) return failedProbe(error.cause, signal);
  return {
    kind: "failed",
    side: "app",
    reason: `health check failed with ${grpcStatusName(error.status)}: ${error.detail}`,
  };
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
