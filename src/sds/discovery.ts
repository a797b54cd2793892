// SPDX-License-Identifier: Apache-2.0
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import type { EncodedSecret } from "./secret-hub.ts";
import type { Delivery } from "./subscription.ts";

/**
 * Decodes a request of either protocol.
 * @throws GrpcError INVALID_ARGUMENT when the bytes are not one
 */
export function decodeRequest<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw new GrpcError(GrpcStatus.invalidArgument, "the discovery request cannot be decoded", { cause });
  }
}

/** Why the client rejects an answer; undefined when it accepts. */
export function rejectionOf(
  errorDetail: { readonly code: number; readonly message: string } | undefined,
): string | undefined {
  if (errorDetail === undefined) return undefined;
  return errorDetail.message === "" ? `code ${String(errorDetail.code)}` : errorDetail.message;
}

/** The version of an answer as a whole: that of its newest secret. Versions end in a slash and a count. */
export function newestVersion(deliveries: readonly Delivery<EncodedSecret>[]): string {
  let newest = "";
  for (const { secret } of deliveries) if (countOf(secret.version) > countOf(newest)) newest = secret.version;
  return newest;
}

function countOf(version: string): number {
  return Number(version.slice(version.lastIndexOf("/") + 1));
}
