// SPDX-License-Identifier: Apache-2.0
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";
import {
  type Der,
  derBitString,
  derBoolean,
  derInteger,
  derOctetString,
  derOid,
  derSequence,
  derTagged,
  derTaggedPrimitive,
  derTime,
  derUtf8String,
} from "../../lib/pki/der.ts";
import { formatPem } from "../../lib/pki/pem.ts";
import { derExtension, derOrganization, derSignatureAlgorithm, derTextName, oid } from "../../lib/pki/x509-der.ts";

/** Who issues: a key and the name that stands as issuer in what it signs. */
export interface Issuer {
  readonly name: string;
  readonly privateKey: KeyObject;
}

/** What a certificate says. */
export interface CertificateFacts {
  readonly subject: string | undefined;
  readonly publicKey: KeyObject;
  readonly use: "authority" | "workload" | "server";
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  /** IPv4 or IPv6 addresses as bytes. */
  readonly ips?: readonly Uint8Array[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * Issues a certificate, as PEM. The issuer's key is RSA, or EC on P-256.
 * Source: RFC 5280 sections 4.1 and 4.2; X.509-SVID specification sections 3 and 4 for workloads
 */
export function issueCertificate(issuer: Issuer, facts: CertificateFacts): string {
  const isRsa = issuer.privateKey.asymmetricKeyType === "rsa";
  const algorithm = derSignatureAlgorithm(isRsa ? "rsa-sha256" : "ecdsa-sha256");
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = derSequence(
    derTagged(0, derInteger(2)),
    derInteger(serial),
    algorithm,
    nameOf(issuer.name),
    derSequence(derTime(facts.notBeforeMs), derTime(facts.notAfterMs)),
    nameOf(facts.subject),
    spkiOf(facts.publicKey),
    derTagged(3, derSequence(...extensionsOf(issuer, facts))),
  );
  const signature = sign("sha256", body, issuer.privateKey);
  return formatPem("CERTIFICATE", derSequence(body, algorithm, derBitString(signature)));
}

/** A self-signed root under the name, for the key. */
export function issueRoot(issuer: Issuer, notBeforeMs: number, notAfterMs: number): string {
  const publicKey = createPublicKey(issuer.privateKey);
  return issueCertificate(issuer, { subject: issuer.name, publicKey, use: "authority", notBeforeMs, notAfterMs });
}

function nameOf(organization: string | undefined): Der {
  if (organization === undefined) return derSequence();
  return derOrganization(derUtf8String(organization));
}

function spkiOf(key: KeyObject): Der {
  return key.export({ type: "spki", format: "der" });
}

function extensionsOf(issuer: Issuer, facts: CertificateFacts): readonly Der[] {
  const authority = facts.use === "authority";
  const extensions = [
    derExtension(oid.basicConstraints, true, authority ? derSequence(derBoolean(true)) : derSequence()),
    // keyCertSign and cRLSign, or digitalSignature and keyEncipherment
    derExtension(
      oid.keyUsage,
      true,
      authority ? derBitString(Uint8Array.of(0x06), 1) : derBitString(Uint8Array.of(0xa0), 5),
    ),
    derExtension(oid.subjectKeyId, false, derOctetString(keyId(facts.publicKey))),
    derExtension(
      oid.authorityKeyId,
      false,
      derSequence(derTaggedPrimitive(0, keyId(createPublicKey(issuer.privateKey)))),
    ),
  ];
  if (!authority) {
    const purposes = facts.use === "server" ? [oid.serverAuth] : [oid.serverAuth, oid.clientAuth];
    extensions.push(derExtension(oid.extendedKeyUsage, false, derSequence(...purposes.map(derOid))));
  }
  const names = [
    ...(facts.dnsNames ?? []).map((name) => derTextName("dns", name)),
    ...(facts.uris ?? []).map((uri) => derTextName("uri", uri)),
    ...(facts.ips ?? []).map((ip) => derTaggedPrimitive(7, ip)),
  ];
  // Critical when the subject is empty: RFC 5280 section 4.2.1.6.
  if (names.length > 0)
    extensions.push(derExtension(oid.subjectAltName, facts.subject === undefined, derSequence(...names)));
  return extensions;
}

/** Any identifier that is the same for the same key serves; this is the first 20 bytes of its hash. */
function keyId(key: KeyObject): Uint8Array {
  return createHash("sha256").update(spkiOf(key)).digest().subarray(0, 20);
}
