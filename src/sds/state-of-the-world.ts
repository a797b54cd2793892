// SPDX-License-Identifier: Apache-2.0
import { DiscoveryRequest, DiscoveryResponse } from "../gen/envoy/service/discovery/v3/discovery.ts";
import { decodeRequest, newestVersion, rejectionOf } from "./discovery.ts";
import type { SdsProtocol } from "./sds-stream.ts";
import { secretTypeUrl } from "./secret-resource.ts";

/** `StreamSecrets`: each request names all that is wanted. */
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
  renderAnswer({ nonce, deliveries }) {
    return DiscoveryResponse.encode(
      DiscoveryResponse.fromPartial({
        versionInfo: newestVersion(deliveries),
        resources: deliveries.map(({ secret }) => ({ typeUrl: secretTypeUrl, value: secret.resource })),
        typeUrl: secretTypeUrl,
        nonce,
      }),
    ).finish();
  },
};
