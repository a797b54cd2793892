// SPDX-License-Identifier: Apache-2.0
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";
import {
  type Der,
  derBitString,
  derBoolean,
  derInteger,
  derNull,
  derOctetString,
  derOid,
  derSequence,
  derSet,
  derTagged,
  derTaggedPrimitive,
  derTime,
  derUtf8String,
} from "../../lib/der.ts";
import { formatPem } from "../../lib/pem.ts";

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

const oid = {
  organizationName: "2.5.4.10",
  subjectKeyId: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyId: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  sha256WithRsa: "1.2.840.113549.1.1.11",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
};

/**
 * Issues a certificate, as PEM. The issuer's key is RSA, or EC on P-256.
 * Source: RFC 5280 sections 4.1 and 4.2; X.509-SVID specification sections 3 and 4 for workloads
 */
export function issueCertificate(issuer: Issuer, facts: CertificateFacts): string {
  const identifier =
    issuer.privateKey.asymmetricKeyType === "rsa"
      ? derSequence(derOid(oid.sha256WithRsa), derNull())
      : derSequence(derOid(oid.ecdsaWithSha256));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = derSequence(
    derTagged(0, derInteger(2)),
    derInteger(serial),
    identifier,
    nameOf(issuer.name),
    derSequence(derTime(facts.notBeforeMs), derTime(facts.notAfterMs)),
    nameOf(facts.subject),
    spkiOf(facts.publicKey),
    derTagged(3, derSequence(...extensionsOf(issuer, facts))),
  );
  const signature = sign("sha256", body, issuer.privateKey);
  return formatPem("CERTIFICATE", derSequence(body, identifier, derBitString(signature)));
}

/** A self-signed root under the name, for the key. */
export function issueRoot(issuer: Issuer, notBeforeMs: number, notAfterMs: number): string {
  const publicKey = createPublicKey(issuer.privateKey);
  return issueCertificate(issuer, { subject: issuer.name, publicKey, use: "authority", notBeforeMs, notAfterMs });
}

function nameOf(organization: string | undefined): Der {
  if (organization === undefined) return derSequence();
  return derSequence(derSet(derSequence(derOid(oid.organizationName), derUtf8String(organization))));
}

function spkiOf(key: KeyObject): Der {
  return key.export({ type: "spki", format: "der" });
}

function extensionsOf(issuer: Issuer, facts: CertificateFacts): readonly Der[] {
  const authority = facts.use === "authority";
  const extensions = [
    extension(oid.basicConstraints, true, authority ? derSequence(derBoolean(true)) : derSequence()),
    // keyCertSign and cRLSign, or digitalSignature and keyEncipherment
    extension(
      oid.keyUsage,
      true,
      authority ? derBitString(Uint8Array.of(0x06), 1) : derBitString(Uint8Array.of(0xa0), 5),
    ),
    extension(oid.subjectKeyId, false, derOctetString(keyId(facts.publicKey))),
    extension(oid.authorityKeyId, false, derSequence(derTaggedPrimitive(0, keyId(createPublicKey(issuer.privateKey))))),
  ];
  if (!authority) {
    const purposes = facts.use === "server" ? [oid.serverAuth] : [oid.serverAuth, oid.clientAuth];
    extensions.push(extension(oid.extendedKeyUsage, false, derSequence(...purposes.map(derOid))));
  }
  const names = [
    ...(facts.dnsNames ?? []).map((name) => derTaggedPrimitive(2, Buffer.from(name, "ascii"))),
    ...(facts.uris ?? []).map((uri) => derTaggedPrimitive(6, Buffer.from(uri, "ascii"))),
    ...(facts.ips ?? []).map((ip) => derTaggedPrimitive(7, ip)),
  ];
  // Critical when the subject is empty: RFC 5280 section 4.2.1.6.
  if (names.length > 0)
    extensions.push(extension(oid.subjectAltName, facts.subject === undefined, derSequence(...names)));
  return extensions;
}

function extension(id: string, critical: boolean, value: Der): Der {
  return derSequence(derOid(id), ...(critical ? [derBoolean(true)] : []), derOctetString(value));
}

/** Any identifier that is the same for the same key serves; this is the first 20 bytes of its hash. */
function keyId(key: KeyObject): Uint8Array {
  return createHash("sha256").update(spkiOf(key)).digest().subarray(0, 20);
}
