// SPDX-License-Identifier: Apache-2.0
// Loaded with the first failure.
import { describeError, systemCode } from "../../lib/errors.ts";
import { GrpcError, GrpcStatus } from "../../lib/grpc/status.ts";
import { tlsErrorIn } from "../../lib/net/tls-error.ts";
import { adviceOnRejection, type RejectedCredential } from "../../model/token-advice.ts";

/**
 * Why there is no stream to the control plane, in one line with what to do about it.
 * @param address of a stream that was open; undefined when none could be opened
 */
export function explainFailure(
  error: unknown,
  address: string | undefined,
  credential: RejectedCredential | undefined,
): string {
  if (address === undefined) return explainUnreachable(error);
  const text = `the control plane at ${address} ended the stream: ${describeError(error)}`;
  const status = error instanceof GrpcError ? error.status : undefined;
  const isToken = status === GrpcStatus.unauthenticated;
  if (credential === undefined || (!isToken && status !== GrpcStatus.permissionDenied)) return text;
  return `${text}; ${adviceOnRejection(isToken ? "UNAUTHENTICATED" : "PERMISSION_DENIED", undefined, credential)}`;
}

const nameCodes: ReadonlySet<string> = new Set(["ENOTFOUND", "EAI_AGAIN", "EAI_NODATA"]);

function explainUnreachable(error: unknown): string {
  const detail = error instanceof GrpcError ? error.detail : describeError(error);
  const text = detail.replace(/^connect to (\S+): /, "the control plane at $1: ");
  if (tlsErrorIn(error) !== undefined) return text;
  const isName = nameCodes.has(systemCode(error instanceof Error ? error.cause : undefined) ?? "");
  return `${text}; correct discoveryAddress${isName ? " or this machine's DNS" : ", or start the control plane there"}`;
}
