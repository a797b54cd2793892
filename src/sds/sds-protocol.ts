// SPDX-License-Identifier: Apache-2.0
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from "../gen/envoy/service/discovery/v3/discovery.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import type { EncodedSecret } from "./secret-hub.ts";
import type { SecretNameError } from "./secret-name.ts";
import { secretTypeUrl } from "./secret-resource.ts";
import type { Delivery, SubscriptionEnd, SubscriptionRequest, SubscriptionResponse } from "./subscription.ts";

/** One of the two forms that requests and responses have on the wire. */
export interface SdsProtocol {
  /** @throws GrpcError INVALID_ARGUMENT when the bytes are not such a message */
  readonly parseRequest: (bytes: Uint8Array) => SubscriptionRequest;
  readonly renderResponse: (response: SubscriptionResponse<EncodedSecret>) => Uint8Array;
}

/** `StreamSecrets` and `FetchSecrets`: each request has all names that the client wants. */
export const stateOfTheWorld: SdsProtocol = {
  parseRequest(bytes) {
    const request = decodeRequest(() => DiscoveryRequest.decode(bytes));
    return {
      protocol: "state-of-the-world",
      nodeId: request.node?.id ?? "",
      nonce: request.responseNonce,
      rejection: rejectionOf(request.errorDetail),
      names: request.resourceNames,
    };
  },
  renderResponse({ nonce, deliveries }) {
    const versionInfo = newestVersion(deliveries);
    const rest = DiscoveryResponse.encode({ versionInfo, resources: [], typeUrl: secretTypeUrl, nonce }).finish();
    return Buffer.concat([rest, ...deliveries.map(({ secret }) => resourceFields.of(secret))]);
  },
};

/**
 * The field `resources` of a response with one secret, made once for all streams that get it. Fields of a message may stand in
 * any order, in parts that are encoded one by one. Source: protobuf, encoding, "Last One Wins"
 */
class ResourceFields {
  readonly #fields = new WeakMap<EncodedSecret, Uint8Array>();

  of(secret: EncodedSecret): Uint8Array {
    const known = this.#fields.get(secret);
    if (known !== undefined) return known;
    const resources = [{ typeUrl: secretTypeUrl, value: secret.resource }];
    const field = DiscoveryResponse.encode({ versionInfo: "", resources, typeUrl: "", nonce: "" }).finish();
    this.#fields.set(secret, field);
    return field;
  }
}

const resourceFields = new ResourceFields();

/** `DeltaSecrets`: each request has the names that the client adds and removes. */
export const delta: SdsProtocol = {
  parseRequest(bytes) {
    const request = decodeRequest(() => DeltaDiscoveryRequest.decode(bytes));
    return {
      protocol: "delta",
      nodeId: request.node?.id ?? "",
      nonce: request.responseNonce,
      rejection: rejectionOf(request.errorDetail),
      subscribe: request.resourceNamesSubscribe,
      unsubscribe: request.resourceNamesUnsubscribe,
      initialVersions: new Map(Object.entries(request.initialResourceVersions)),
    };
  },
  renderResponse({ nonce, deliveries }) {
    return DeltaDiscoveryResponse.encode(
      DeltaDiscoveryResponse.fromPartial({
        systemVersionInfo: newestVersion(deliveries),
        resources: deliveries.map(({ name, secret }) => ({
          name: name.text,
          version: secret.version,
          resource: { typeUrl: secretTypeUrl, value: secret.resource },
        })),
        typeUrl: secretTypeUrl,
        nonce,
      }),
    ).finish();
  },
};

/** The status with which a stream or a fetch ends. */
export function endError(end: SubscriptionEnd): GrpcError {
  switch (end.kind) {
    case "no-node":
      return new GrpcError(GrpcStatus.invalidArgument, "missing node information: the first request needs node.id");
    case "too-many-names":
      return new GrpcError(GrpcStatus.resourceExhausted, `too many names on one stream: ${end.problem}`);
    case "rejected-name":
      return nameError(end.error);
  }
}

function nameError(error: SecretNameError): GrpcError {
  const status = {
    unknown: GrpcStatus.notFound,
    malformed: GrpcStatus.invalidArgument,
    forbidden: GrpcStatus.permissionDenied,
  }[error.problem];
  return new GrpcError(status, error.message, { cause: error });
}

function decodeRequest<T>(decode: () => T): T {
  try {
    return decode();
  } catch (cause) {
    throw new GrpcError(GrpcStatus.invalidArgument, "the discovery request cannot be decoded", { cause });
  }
}

/** Why the client rejects a response (NACK); undefined for an ACK. */
function rejectionOf(errorDetail: { readonly code: number; readonly message: string } | undefined): string | undefined {
  if (errorDetail === undefined) return undefined;
  return errorDetail.message === "" ? `code ${String(errorDetail.code)}` : errorDetail.message;
}

/** The version of a response as a whole: that of its newest secret. Versions end with a slash and a count. */
function newestVersion(deliveries: readonly Delivery<EncodedSecret>[]): string {
  let newest = "";
  for (const { secret } of deliveries) if (countOf(secret.version) > countOf(newest)) newest = secret.version;
  return newest;
}

function countOf(version: string): number {
  return Number(version.slice(version.lastIndexOf("/") + 1));
}
