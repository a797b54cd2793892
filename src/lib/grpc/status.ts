// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../errors.ts";

/** The outcome of a call. Source: gRPC core, doc/statuscodes.md */
export const GrpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

const names: ReadonlyMap<number, string> = new Map(
  Object.entries(GrpcStatus).map(([name, status]) => [status, name.replaceAll(/[A-Z]/g, "_$&").toUpperCase()]),
);

/** `UNAVAILABLE` for 14; a number that gRPC does not define as itself. */
export function grpcStatusName(status: number): string {
  return names.get(status) ?? String(status);
}

/** A call that did not end with OK, whichever side said so. */
export class GrpcError extends AgentError {
  readonly code = "AGENT_GRPC";
  /** One of `GrpcStatus`, or a number of the peer's own. */
  readonly status: number;
  /** The status message, as it is on the wire. */
  readonly detail: string;
  /** A serialised `google.rpc.Status` (`grpc-status-details-bin`), with such things as RetryInfo. */
  readonly details: Uint8Array | undefined;
  constructor(
    status: number,
    detail: string,
    more: { readonly cause?: unknown; readonly details?: Uint8Array | undefined } = {},
  ) {
    super(`${grpcStatusName(status)}: ${detail}`, { cause: more.cause });
    this.status = status;
    this.detail = detail;
    this.details = more.details;
  }
}
