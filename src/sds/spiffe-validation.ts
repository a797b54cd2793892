// SPDX-License-Identifier: Apache-2.0
import { SPIFFECertValidatorConfig } from "../gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.ts";
import { childrenOf, derTag, readDerElement } from "../lib/pki/der-reader.ts";
import { splitPem } from "../lib/pki/pem.ts";
import type { DomainRoots } from "../model/trust-domains.ts";

/** An `envoy.config.core.v3.TypedExtensionConfig`, to be encoded with the secret. */
export interface ValidatorConfig {
  readonly name: string;
  readonly typedConfig: { readonly typeUrl: string; readonly value: Buffer };
}

/**
 * Envoy's validator that verifies each peer by the roots of the trust domain in its SPIFFE ID. It ignores the revocation
 * list of the context and reads those among the roots of a domain. It always requires a client certificate.
 * @param crlPem goes with the own trust domain, and with each other one for whose roots it has a list: a domain with a
 * list needs one for each of its authorities
 * Source: Envoy api/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config.proto; revocation lists and
 * client certificates as observed with Envoy 1.40
 */
export function spiffeValidator(domains: readonly DomainRoots[], crlPem: string | undefined): ValidatorConfig {
  const issuers = crlPem === undefined ? [] : issuersOf(crlPem);
  const trustDomains = domains.map(({ trustDomain, rootsPem, isOwn }) => {
    const crl = isOwn || hasIssuer(rootsPem, issuers) ? (crlPem ?? "") : "";
    const value = Buffer.from(rootsPem + crl);
    return { name: trustDomain, trustBundle: { specifier: { $case: "inlineBytes" as const, value } } };
  });
  const value = SPIFFECertValidatorConfig.encode(SPIFFECertValidatorConfig.fromPartial({ trustDomains })).finish();
  return {
    name: "envoy.tls.cert_validator.spiffe",
    typedConfig: {
      typeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig",
      value: Buffer.from(value),
    },
  };
}

/** The names of the lists' issuers as DER; a list that cannot be read has none. Source: RFC 5280 section 5.1 */
function issuersOf(crlPem: string): readonly Uint8Array[] {
  return splitPem(crlPem).blocks.flatMap(({ der }) => {
    try {
      const [toBeSigned] = childrenOf(readDerElement(der, derTag.sequence));
      const fields = childrenOf(toBeSigned);
      const issuer = fields[fields[0]?.tag === derTag.integer ? 2 : 1];
      return issuer === undefined ? [] : [issuer.bytes];
    } catch {
      return [];
    }
  });
}

function hasIssuer(rootsPem: string, issuers: readonly Uint8Array[]): boolean {
  return splitPem(rootsPem).blocks.some(({ der }) => issuers.some((issuer) => Buffer.from(der).includes(issuer)));
}
