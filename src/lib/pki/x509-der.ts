// SPDX-License-Identifier: Apache-2.0
import {
  type Der,
  derBoolean,
  derNull,
  derOctetString,
  derOid,
  derSequence,
  derSet,
  derTaggedPrimitive,
} from "./der.ts";

/** Object identifiers of certificates and of requests for them. Source: RFC 2986, 3279, 5280 and 5758 */
export const oid = {
  organizationName: "2.5.4.10",
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyId: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  extendedKeyUsage: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  extensionRequest: "1.2.840.113549.1.9.14",
} as const;

export const signatureOids = {
  "rsa-sha256": "1.2.840.113549.1.1.11",
  "ecdsa-sha256": "1.2.840.10045.4.3.2",
  "ecdsa-sha384": "1.2.840.10045.4.3.3",
} as const;

export type SignatureAlgorithm = keyof typeof signatureOids;

/** Only the form for RSA has parameters: NULL. Source: RFC 3279 section 2.2.1, RFC 5758 section 3.2 */
export function derSignatureAlgorithm(algorithm: SignatureAlgorithm): Der {
  const id = derOid(signatureOids[algorithm]);
  return algorithm === "rsa-sha256" ? derSequence(id, derNull()) : derSequence(id);
}

/** A name that consists of an organization only. @param text the string as a DER element */
export function derOrganization(text: Der): Der {
  return derSequence(derSet(derSequence(derOid(oid.organizationName), text)));
}

/** @param value the content, which is wrapped in an octet string */
export function derExtension(id: string, isCritical: boolean, value: Der): Der {
  return derSequence(derOid(id), ...(isCritical ? [derBoolean(true)] : []), derOctetString(value));
}

/** A URI as a subject alternative name. Source: RFC 5280 section 4.2.1.6 */
export function derUriName(uri: string): Der {
  return derTaggedPrimitive(6, Buffer.from(uri, "ascii"));
}
