// SPDX-License-Identifier: Apache-2.0
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";
import forge from "node-forge";
import { formatPem } from "../../lib/pki/pem.ts";
import { oid, type SignatureAlgorithm, signatureOids } from "../../lib/pki/x509-der.ts";

/*
 * node-forge builds certificates; `node:crypto` signs, because node-forge knows no key but RSA. For the same reason
 * node-forge gets public keys as ASN.1. docs/adr/0010-named-packages.md has the reasons.
 */

/** What the published types lack. */
declare module "node-forge" {
  // eslint-disable-next-line @typescript-eslint/no-namespace -- the library's types are namespaces
  namespace asn1 {
    interface FromDerOptions {
      readonly strict: boolean;
      readonly parseAllBytes: boolean;
      /** False: the content of a bit string is never parsed, also where it happens to be DER. */
      readonly decodeBitStrings: boolean;
    }
    function fromDer(bytes: Bytes | util.ByteBuffer, options: FromDerOptions): Asn1;
    function create(tagClass: Class, tag: number, constructed: boolean, value: Bytes | Asn1[]): Asn1;
  }
  // eslint-disable-next-line @typescript-eslint/no-namespace -- the library's types are namespaces
  namespace pki {
    function certificateExtensionsToAsn1(extensions: readonly object[]): asn1.Asn1;
  }
}

type Asn1 = forge.asn1.Asn1;
const { asn1, pki } = forge;

/** A key, and the name under which it issues. */
export interface Issuer {
  readonly name: string;
  readonly privateKey: KeyObject;
}

/** The content of a certificate. */
export interface CertificateFacts {
  readonly subject: string | undefined;
  readonly publicKey: KeyObject;
  readonly use: "authority" | "workload" | "server";
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/**
 * Issues a certificate, as PEM. The issuer's key is RSA, or EC on P-256.
 * Source: RFC 5280 sections 4.1 and 4.2; X.509-SVID specification sections 3 and 4 for workloads
 */
export function issueCertificate(issuer: Issuer, facts: CertificateFacts): string {
  const isRsa = issuer.privateKey.asymmetricKeyType === "rsa";
  const algorithm = signatureAlgorithm(isRsa ? "rsa-sha256" : "ecdsa-sha256");
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    asn1.create(asn1.Class.CONTEXT_SPECIFIC, 0, true, [primitive(asn1.Type.INTEGER, Buffer.of(2))]),
    primitive(asn1.Type.INTEGER, serial),
    algorithm,
    distinguishedName(issuer.name),
    sequence(time(facts.notBeforeMs), time(facts.notAfterMs)),
    distinguishedName(facts.subject),
    parseDer(spkiOf(facts.publicKey)),
    extensionsOf(issuer, facts),
  );
  const signature = sign("sha256", encode(body), issuer.privateKey);
  const bits = primitive(asn1.Type.BITSTRING, Buffer.concat([Buffer.of(0), signature]));
  return formatPem("CERTIFICATE", encode(sequence(body, algorithm, bits)));
}

/** A self-signed root certificate of the issuer, as PEM. */
export function issueRoot(issuer: Issuer, notBeforeMs: number, notAfterMs: number): string {
  const publicKey = createPublicKey(issuer.privateKey);
  return issueCertificate(issuer, { subject: issuer.name, publicKey, use: "authority", notBeforeMs, notAfterMs });
}

/** Tags of the alternative names in use. Source: RFC 5280 section 4.2.1.6 */
const nameType = { dns: 2, uri: 6, ip: 7 };

function extensionsOf(issuer: Issuer, facts: CertificateFacts): Asn1 {
  const isAuthority = facts.use === "authority";
  const authorityKeyId = keyId(createPublicKey(issuer.privateKey)).toString("latin1");
  const names = [
    ...(facts.dnsNames ?? []).map((value) => ({ type: nameType.dns, value })),
    ...(facts.uris ?? []).map((value) => ({ type: nameType.uri, value })),
    ...(facts.ips ?? []).map((ip) => ({ type: nameType.ip, ip })),
  ];
  const usage = isAuthority ? { keyCertSign: true, cRLSign: true } : { digitalSignature: true, keyEncipherment: true };
  const extensions = [
    { id: oid.basicConstraints, critical: true, cA: isAuthority },
    { id: oid.keyUsage, critical: true, ...usage },
    { id: oid.subjectKeyId, value: primitive(asn1.Type.OCTETSTRING, keyId(facts.publicKey)) },
    { id: oid.authorityKeyId, keyIdentifier: authorityKeyId },
    ...(isAuthority ? [] : [{ id: oid.extendedKeyUsage, serverAuth: true, clientAuth: facts.use === "workload" }]),
    // Critical when the subject is empty: RFC 5280 section 4.2.1.6.
    ...(names.length === 0 ? [] : [{ id: oid.subjectAltName, critical: facts.subject === undefined, altNames: names }]),
  ];
  pki.createCertificate().setExtensions(extensions); // fills in the value of each
  return pki.certificateExtensionsToAsn1(extensions);
}

/** Only the form for RSA has parameters: NULL. Source: RFC 3279 section 2.2.1, RFC 5758 section 3.2 */
function signatureAlgorithm(algorithm: SignatureAlgorithm): Asn1 {
  const id = objectId(signatureOids[algorithm]);
  return algorithm === "rsa-sha256" ? sequence(id, primitive(asn1.Type.NULL, Buffer.of())) : sequence(id);
}

/** A name that consists of an organization, as UTF8String, or of nothing. */
function distinguishedName(organization: string | undefined): Asn1 {
  if (organization === undefined) return sequence();
  const attribute = sequence(objectId(oid.organizationName), primitive(asn1.Type.UTF8, Buffer.from(organization)));
  return sequence(asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SET, true, [attribute]));
}

/** UTCTime up to the end of 2049, GeneralizedTime after it. Source: RFC 5280 section 4.1.2.5 */
function time(ms: number): Asn1 {
  const date = new Date(ms);
  return date.getUTCFullYear() < 2050
    ? asn1.create(asn1.Class.UNIVERSAL, asn1.Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : asn1.create(asn1.Class.UNIVERSAL, asn1.Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date));
}

/** Any identifier that is the same for the same key is valid; this one is the first 20 bytes of the key's hash. */
function keyId(key: KeyObject): Buffer {
  return createHash("sha256").update(spkiOf(key)).digest().subarray(0, 20);
}

function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

function sequence(...content: Asn1[]): Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, content);
}

function primitive(type: forge.asn1.Type, content: Buffer): Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, type, false, content.toString("latin1"));
}

function objectId(dotted: string): Asn1 {
  return asn1.create(asn1.Class.UNIVERSAL, asn1.Type.OID, false, asn1.oidToDer(dotted).getBytes());
}

/** Only for bytes that this process has made: node-forge's parser is recursive. */
function parseDer(bytes: Uint8Array): Asn1 {
  const buffer = forge.util.createBuffer(Buffer.from(bytes).toString("latin1"));
  return asn1.fromDer(buffer, { strict: true, parseAllBytes: true, decodeBitStrings: false });
}

function encode(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), "latin1");
}
