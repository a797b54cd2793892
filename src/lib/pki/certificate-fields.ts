// SPDX-License-Identifier: Apache-2.0
import {
  childrenOf,
  DerError,
  type DerElement,
  derTag,
  expectTag,
  readBits,
  readBoolean,
  readDerElement,
  readNumber,
  readOid,
} from "./der-reader.ts";
import { type PublicKeyFacts, readPublicKeyFacts } from "./public-key.ts";
import { oid } from "./x509-der.ts";

/** A name in a certificate: its tag tells the kind, see `generalNameTag`. */
export interface GeneralName {
  readonly tag: number;
  readonly value: Uint8Array;
}

/** Source: RFC 5280 section 4.2.1.6 */
export const generalNameTag = { email: 0x81, dns: 0x82, directory: 0xa4, uri: 0x86, ip: 0x87 } as const;

export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** What decides whether a verifier accepts a certificate, apart from its signature, names of issuers, and validity. */
export interface CertificateFields {
  /** 1 or 3 */
  readonly version: number;
  /** Whether subject and issuer are equal. */
  readonly isSelfIssued: boolean;
  /** Dotted. */
  readonly signatureAlgorithm: string;
  /** Of the signature algorithm; empty without. */
  readonly signatureParameters: Uint8Array;
  /** The subject's distinguished name, as DER. */
  readonly subject: Uint8Array;
  readonly publicKey: PublicKeyFacts;
  /** Dotted identifiers of the extensions that are critical. */
  readonly criticalExtensions: readonly string[];
  readonly isAuthority: boolean;
  readonly pathLength: number | undefined;
  /** Numbers of bits; undefined: every use. */
  readonly keyUsage: ReadonlySet<number> | undefined;
  /** Dotted; undefined: every use. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  readonly alternativeNames: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | undefined;
  /** Dotted; undefined without the extension. */
  readonly policies: readonly string[] | undefined;
  readonly mapsPolicies: boolean;
  /** requireExplicitPolicy: after so many certificates; undefined: never. */
  readonly requirePolicyAfter: number | undefined;
}

interface Extension {
  readonly isCritical: boolean;
  readonly value: Uint8Array;
}

/**
 * Reads a certificate. As strict as BoringSSL: no unknown version, no extension twice, none in version 1.
 * @throws DerError
 * Source: RFC 5280 section 4; what BoringSSL rejects was observed with Envoy 1.40
 */
export function readCertificateFields(certificate: Uint8Array): CertificateFields {
  // Parts of a plain array cost less than those of a Buffer.
  const bytes = new Uint8Array(certificate.buffer, certificate.byteOffset, certificate.length);
  const [body, algorithm, signature, ...more] = childrenOf(readDerElement(bytes, derTag.sequence));
  if (signature === undefined || more.length > 0) throw new DerError("not a certificate");
  const parts = [...childrenOf(body)];
  const version = parts[0]?.tag === 0xa0 ? versionOf(parts.shift()) : 1;
  const [, innerAlgorithm, issuer, , subject, spki, ...optional] = parts;
  if (innerAlgorithm === undefined || Buffer.compare(innerAlgorithm.bytes, expectTag(algorithm, 0x30).bytes) !== 0) {
    throw new DerError("two signature algorithms");
  }
  const [signatureAlgorithm, parameters] = childrenOf(innerAlgorithm);
  const extensions = readExtensions(optional.find((part) => part.tag === 0xa3));
  if (extensions.size > 0 && version !== 3) throw new DerError("extensions in another version than 3");
  const subjectBytes = expectTag(subject, derTag.sequence).bytes;
  return {
    version,
    isSelfIssued: Buffer.compare(subjectBytes, expectTag(issuer, derTag.sequence).bytes) === 0,
    signatureAlgorithm: readOid(signatureAlgorithm),
    signatureParameters: parameters?.bytes ?? new Uint8Array(),
    subject: subjectBytes,
    publicKey: readPublicKeyFacts(expectTag(spki, derTag.sequence).bytes),
    criticalExtensions: [...extensions].filter(([, { isCritical }]) => isCritical).map(([id]) => id),
    ...readContents(extensions),
  };
}

function versionOf(element: DerElement | undefined): number {
  const [number] = childrenOf(element, 0xa0);
  const version = readNumber(expectTag(number, derTag.integer).content) + 1;
  if (version > 3) throw new DerError("an unknown version");
  return version;
}

/** @param element the `[3]` of a certificate or the extensions of a request; undefined: none */
function readExtensions(element: DerElement | undefined): ReadonlyMap<string, Extension> {
  return element === undefined ? new Map() : parseExtensions(childrenOf(element, 0xa3)[0]);
}

/** A sequence of extensions, by their dotted identifiers. @throws DerError, also when one is there twice */
export function parseExtensions(element: DerElement | undefined): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>();
  for (const extension of childrenOf(element)) {
    const [id, ...rest] = childrenOf(extension);
    const critical = rest[0]?.tag === derTag.boolean ? rest.shift() : undefined;
    const name = readOid(id);
    if (extensions.has(name)) throw new DerError("an extension is there twice");
    const { content } = expectTag(rest[0], derTag.octetString);
    extensions.set(name, { isCritical: critical !== undefined && readBoolean(critical), value: content });
  }
  return extensions;
}

type Contents = Pick<
  CertificateFields,
  | "isAuthority"
  | "pathLength"
  | "keyUsage"
  | "extendedKeyUsage"
  | "alternativeNames"
  | "nameConstraints"
  | "policies"
  | "mapsPolicies"
  | "requirePolicyAfter"
>;

function readContents(extensions: ReadonlyMap<string, Extension>): Contents {
  const read = <T>(id: string, parse: (value: Uint8Array) => T): T | undefined => {
    const extension = extensions.get(id);
    return extension === undefined ? undefined : parse(extension.value);
  };
  const constraints = read(oid.basicConstraints, parseBasicConstraints);
  return {
    isAuthority: constraints?.isAuthority === true,
    pathLength: constraints?.pathLength,
    keyUsage: read(oid.keyUsage, (value) => readBits(readDerElement(value, derTag.bitString))),
    extendedKeyUsage: read(oid.extendedKeyUsage, (value) =>
      childrenOf(readDerElement(value, derTag.sequence)).map(readOid),
    ),
    alternativeNames: read(oid.subjectAltName, parseGeneralNames) ?? [],
    nameConstraints: read(oid.nameConstraints, parseNameConstraints),
    policies: read(oid.certificatePolicies, (value) =>
      childrenOf(readDerElement(value, derTag.sequence)).map((policy) => readOid(childrenOf(policy)[0])),
    ),
    mapsPolicies: extensions.has(oid.policyMappings),
    requirePolicyAfter: read(oid.policyConstraints, (value) => {
      const found = childrenOf(readDerElement(value, derTag.sequence)).find((part) => part.tag === 0x80);
      return found === undefined ? undefined : readNumber(found.content);
    }),
  };
}

/** @throws DerError */
export function parseBasicConstraints(value: Uint8Array): {
  readonly isAuthority: boolean;
  readonly pathLength: number | undefined;
} {
  const parts = [...childrenOf(readDerElement(value, derTag.sequence))];
  const isAuthority = parts[0]?.tag === derTag.boolean && readBoolean(parts.shift());
  const [length] = parts;
  const pathLength = length === undefined ? undefined : readNumber(expectTag(length, derTag.integer).content);
  return { isAuthority, pathLength };
}

/** The content of a subject alternative name. @throws DerError */
export function parseGeneralNames(value: Uint8Array): readonly GeneralName[] {
  return childrenOf(readDerElement(value, derTag.sequence)).map(toGeneralName);
}

function toGeneralName({ tag, content }: DerElement): GeneralName {
  return { tag, value: content };
}

/** @throws DerError, also for subtrees with a minimum or a maximum, which no profile allows */
function parseNameConstraints(value: Uint8Array): NameConstraints {
  const parts = childrenOf(readDerElement(value, derTag.sequence));
  const namesOf = (tag: number): readonly GeneralName[] => {
    const part = parts.find((one) => one.tag === tag);
    if (part === undefined) return [];
    return childrenOf(part, tag).map((subtree) => {
      const [name, ...limits] = childrenOf(subtree);
      if (name === undefined || limits.length > 0) throw new DerError("a name constraint with limits");
      return toGeneralName(name);
    });
  };
  return { permitted: namesOf(0xa0), excluded: namesOf(0xa1) };
}
