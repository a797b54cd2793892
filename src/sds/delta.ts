// SPDX-License-Identifier: Apache-2.0
import { DeltaDiscoveryRequest, DeltaDiscoveryResponse } from "../gen/envoy/service/discovery/v3/discovery.ts";
import { decodeRequest, newestVersion, rejectionOf } from "./discovery.ts";
import type { SdsProtocol } from "./sds-stream.ts";
import { secretTypeUrl } from "./secret-resource.ts";

/** `DeltaSecrets`: each request names what is wanted from now on, and what no longer. */
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
  renderAnswer({ nonce, deliveries }) {
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
