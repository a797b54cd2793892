// SPDX-License-Identifier: Apache-2.0
import { shortenPeerText } from "../printable-text.ts";
import { AgentError } from "../errors.ts";
import { type IncomingHttpHeaders, constants } from "node:http2";
import { decodeGrpcMessage } from "./metadata.ts";

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

/** A call did not end with OK; either side may be the cause. */
export class GrpcError extends AgentError {
  readonly code = "AGENT_GRPC";
  /** One of `GrpcStatus`, or a number of the peer's own. */
  readonly status: number;
  /** The status message of the peer, cut to the length that the log has for such text. */
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

/** Source: gRPC core, doc/http-grpc-status-mapping.md */
const ofHttpStatus: Readonly<Record<number, number>> = {
  400: GrpcStatus.internal,
  401: GrpcStatus.unauthenticated,
  403: GrpcStatus.permissionDenied,
  404: GrpcStatus.unimplemented,
  429: GrpcStatus.unavailable,
  502: GrpcStatus.unavailable,
  503: GrpcStatus.unavailable,
  504: GrpcStatus.unavailable,
};

/** Source: gRPC core, doc/PROTOCOL-HTTP2.md, Errors */
const ofResetCode: Readonly<Record<number, number>> = {
  [constants.NGHTTP2_REFUSED_STREAM]: GrpcStatus.unavailable,
  [constants.NGHTTP2_CANCEL]: GrpcStatus.cancelled,
  [constants.NGHTTP2_ENHANCE_YOUR_CALM]: GrpcStatus.resourceExhausted,
  [constants.NGHTTP2_INADEQUATE_SECURITY]: GrpcStatus.permissionDenied,
};

/** The failure that an HTTP response without a gRPC status means. */
export function errorOfHttpStatus(httpStatus: number): GrpcError {
  const status = ofHttpStatus[httpStatus] ?? GrpcStatus.unknown;
  return new GrpcError(status, `the peer responded with HTTP status ${String(httpStatus)} and no gRPC status`);
}

/** The failure that the reset of a stream by the peer means. */
export function errorOfReset(code: number): GrpcError {
  const status = ofResetCode[code] ?? GrpcStatus.internal;
  return new GrpcError(status, `the peer reset the stream with HTTP/2 code ${String(code)}`);
}

/**
 * The outcome in trailers, or in headers without trailers.
 * @returns undefined when there is no status in them, `"ok"`, or the error
 */
export function outcomeOf(headers: IncomingHttpHeaders): "ok" | GrpcError | undefined {
  const text = headers["grpc-status"];
  if (typeof text !== "string") return undefined;
  const status = /^\d{1,9}$/.test(text) ? Number(text) : GrpcStatus.unknown;
  if (status === GrpcStatus.ok) return "ok";
  const message = headers["grpc-message"];
  const details = headers["grpc-status-details-bin"];
  return new GrpcError(status, typeof message === "string" ? shortenPeerText(decodeGrpcMessage(message)) : "", {
    details: typeof details === "string" ? Buffer.from(details, "base64") : undefined,
  });
}
