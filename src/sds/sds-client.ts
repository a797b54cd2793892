// SPDX-License-Identifier: Apache-2.0
import type { DataSource } from "../gen/envoy/config/core/v3/base.ts";
import { Secret as SecretMessage } from "../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { SPIFFECertValidatorConfig } from "../gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts";
import { DiscoveryRequest, DiscoveryResponse } from "../gen/envoy/service/discovery/v3/discovery.ts";
import type { Clock } from "../lib/async/clock.ts";
import { createGrpcChannel } from "../lib/grpc/client.ts";
import { GrpcError, GrpcStatus } from "../lib/grpc/status.ts";
import { secretTypeUrl } from "./secret-resource.ts";

/** A secret as Envoy receives it. */
export type SdsSecret =
  | {
      readonly kind: "certificate";
      readonly chainPem: string;
      /** Undefined where a private key provider has it. Never printed. */
      readonly keyPem: string | undefined;
    }
  | {
      readonly kind: "roots";
      /** The trust domain is undefined where the roots verify every peer. */
      readonly domains: readonly { readonly trustDomain: string | undefined; readonly rootsPem: string }[];
    };

/** A client of an SDS server on this machine, as Envoy is one. */
export interface SdsClient extends AsyncDisposable {
  /**
   * @param name `default` or `ROOTCA`
   * @throws GrpcError; DEADLINE_EXCEEDED also where the server has no such secret yet
   */
  fetch(name: string, signal: AbortSignal): Promise<SdsSecret>;
}

const path = "/envoy.service.secret.v3.SecretDiscoveryService/FetchSecrets";
const timeoutMs = 2_000;

/** Connects with the first call. */
export function createSdsClient(socketPath: string, nodeId: string, deps: { readonly clock: Clock }): SdsClient {
  const target = { kind: "unix" as const, path: socketPath };
  const channel = createGrpcChannel({ target, authority: "localhost" }, deps);
  return {
    async fetch(name, signal) {
      const request = DiscoveryRequest.fromPartial({
        node: { id: nodeId },
        resourceNames: [name],
        typeUrl: secretTypeUrl,
      });
      const bytes = DiscoveryRequest.encode(request).finish();
      const response = DiscoveryResponse.decode(await channel.unary(path, bytes, { timeoutMs, signal }));
      const [resource] = response.resources;
      if (resource === undefined) throw malformed(name, "is not in the response");
      return parseSecret(name, SecretMessage.decode(resource.value));
    },
    [Symbol.asyncDispose]: () => channel[Symbol.asyncDispose](),
  };
}

function parseSecret(name: string, { type }: SecretMessage): SdsSecret {
  switch (type?.$case) {
    case "tlsCertificate": {
      const { certificateChain, privateKey } = type.value;
      const keyPem = textOf(privateKey);
      return { kind: "certificate", chainPem: textOf(certificateChain), keyPem: keyPem === "" ? undefined : keyPem };
    }
    case "validationContext": {
      const { trustedCa, customValidatorConfig } = type.value;
      const validator = customValidatorConfig?.typedConfig;
      if (validator === undefined) {
        return { kind: "roots", domains: [{ trustDomain: undefined, rootsPem: textOf(trustedCa) }] };
      }
      const { trustDomains } = SPIFFECertValidatorConfig.decode(validator.value);
      const domains = trustDomains.map((one) => ({ trustDomain: one.name, rootsPem: textOf(one.trustBundle) }));
      return { kind: "roots", domains };
    }
    default:
      throw malformed(name, "is neither a certificate nor roots");
  }
}

function textOf(source: DataSource | undefined): string {
  const { specifier } = source ?? {};
  switch (specifier?.$case) {
    case "inlineBytes":
      return specifier.value.toString("utf8");
    case "inlineString":
      return specifier.value;
    default:
      return "";
  }
}

function malformed(name: string, problem: string): GrpcError {
  return new GrpcError(GrpcStatus.internal, `the secret ${name} ${problem}`);
}
