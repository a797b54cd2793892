// SPDX-License-Identifier: Apache-2.0
import { type CertificateFields, readCertificateFields } from "../lib/pki/certificate-fields.ts";
import type { PublicKeyFacts } from "../lib/pki/public-key.ts";
import { isWithin } from "../lib/pki/name-constraints.ts";
import { oid, signatureOids } from "../lib/pki/x509-der.ts";
import type { ReadCertificate } from "./read-certificate.ts";

/*
 * What the peers of this workload verify. The certificates are read here, and not by a TLS handshake with itself, for
 * three reasons: Node's handshake is OpenSSL's, which accepts what Envoy's BoringSSL rejects (a key usage without digital
 * signature, a required policy, an Ed25519 key) and rejects what it accepts (an intermediate as the trust anchor); it
 * verifies at the system's time, while a certificate may begin in some minutes; and it reports one of several problems.
 * A test compares the verdicts with those of a real Envoy.
 */

/** Bits of the key usage extension. Source: RFC 5280 section 4.2.1.3 */
const digitalSignature = 0;
const keyCertSign = 5;

/** Hashes that are broken are not among them. */
const signatureAlgorithms: ReadonlySet<string> = new Set([
  ...Object.values(signatureOids),
  "1.2.840.113549.1.1.12", // RSA with SHA-384
  "1.2.840.113549.1.1.13", // RSA with SHA-512
  "1.2.840.10045.4.3.4", // ECDSA with SHA-512
  "1.3.101.112", // Ed25519
]);
const rsaPss = "1.2.840.113549.1.1.10";
/** SHA-256, SHA-384 and SHA-512, as DER. Their common prefix is that of all hashes of NIST's second family. */
const strongHashes = [1, 2, 3].map((last) => Buffer.of(0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, last));

/** The critical extensions that BoringSSL knows. Source: observed with Envoy 1.40 */
const knownExtensions: ReadonlySet<string> = new Set([
  oid.basicConstraints,
  oid.keyUsage,
  oid.extendedKeyUsage,
  oid.subjectAltName,
  oid.nameConstraints,
  oid.certificatePolicies,
  oid.policyMappings,
  oid.policyConstraints,
  oid.inhibitAnyPolicy,
]);

const minRsaBits = 2_048;
/** BoringSSL verifies no signature of a larger key, nor with a larger exponent. */
const maxRsaBits = 8_192;
const maxRsaExponent = 2n ** 33n - 1n;
/** Without settings for it, Envoy accepts handshakes signed by these, and not by P-521 or Ed25519. Source: observed with Envoy 1.40 */
const leafKeys: ReadonlySet<string> = new Set(["P-256", "P-384"]);
const loadableKeys: ReadonlySet<string> = new Set([...leafKeys, "P-521", "ed25519"]);
const authorityKeys: ReadonlySet<string> = new Set([...loadableKeys, "P-224"]);

/** A workload is a server and a client. */
export type CertificatePurpose = "workload" | "server";

const usesOf: Readonly<Record<CertificatePurpose, readonly string[]>> = {
  workload: [oid.serverAuth, oid.clientAuth],
  server: [oid.serverAuth],
};

/** A certificate of a path, with the fields that decide. */
interface PathMember {
  readonly certificate: ReadCertificate;
  readonly fields: CertificateFields;
}

/**
 * Finds what peers would reject in a path whose signatures, issuers and times are right.
 * @param path leaf first, the trust anchor last
 * @returns undefined when there is nothing
 */
export function findPathProblem(
  path: readonly ReadCertificate[],
  purpose: CertificatePurpose = "workload",
): string | undefined {
  try {
    const members = path.map((certificate): PathMember => {
      return { certificate, fields: readCertificateFields(certificate.x509.raw) };
    });
    return problemOf(members, purpose);
  } catch (error) {
    return `a certificate of the chain is malformed: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function problemOf(members: readonly PathMember[], purpose: CertificatePurpose): string | undefined {
  for (const [index, member] of members.entries()) {
    const isAnchor = index === members.length - 1;
    const problem =
      (index === 0 ? leafProblem(member) : authorityProblem(member, members.slice(1, index))) ??
      memberProblem(member, isAnchor, purpose) ??
      namesProblem(member, members.slice(0, index));
    if (problem !== undefined) return `${index === 0 ? "the certificate" : describeAuthority(member)} ${problem}`;
  }
  return lacksRequiredPolicy(members.slice(0, -1).reverse())
    ? "the chain lacks a policy that an authority requires"
    : undefined;
}

function leafProblem({ fields }: PathMember): string | undefined {
  const { keyUsage, isAuthority, publicKey } = fields;
  if (isAuthority) return "is an authority's, not a workload's";
  if (keyUsage !== undefined && !keyUsage.has(digitalSignature)) return "has a key usage without digital signature";
  return keyProblem(publicKey, leafKeys);
}

/** Why Envoy does not load a certificate as its own; undefined when it does. Source: observed with Envoy 1.40 */
export function findLoadProblem(certificate: Uint8Array): string | undefined {
  return keyProblem(readCertificateFields(certificate).publicKey, loadableKeys);
}

/** @param below the authorities between it and the leaf */
function authorityProblem({ fields }: PathMember, below: readonly PathMember[]): string | undefined {
  const { isAuthority, pathLength, keyUsage, publicKey } = fields;
  if (!isAuthority) return "is not an authority's";
  if (keyUsage !== undefined && !keyUsage.has(keyCertSign)) return "may not sign certificates";
  const length = below.filter((one) => !one.fields.isSelfIssued).length;
  if (pathLength !== undefined && length > pathLength)
    return `has path length ${String(pathLength)}, which is exceeded`;
  return keyProblem(publicKey, authorityKeys);
}

function memberProblem(
  { certificate, fields }: PathMember,
  isAnchor: boolean,
  purpose: CertificatePurpose,
): string | undefined {
  const { criticalExtensions, extendedKeyUsage } = fields;
  // Envoy accepts it in a certificate that is not a root; peers in Go do not parse it.
  if (certificate.x509.serialNumber.startsWith("-")) return "has a negative serial number";
  const unknown = criticalExtensions.find((id) => !knownExtensions.has(id));
  if (unknown !== undefined) return `has the unknown critical extension ${unknown}`;
  const missing = usesOf[purpose].filter((use) => extendedKeyUsage?.includes(use) === false);
  if (missing.length > 0) {
    return `has an extended key usage without ${purpose === "server" ? "servers" : "both servers and clients"}`;
  }
  // Nothing is decided by the signature of a trust anchor.
  return isAnchor || hasStrongSignature(fields)
    ? undefined
    : `is signed with a weak algorithm (${fields.signatureAlgorithm})`;
}

function hasStrongSignature({ signatureAlgorithm, signatureParameters }: CertificateFields): boolean {
  if (signatureAlgorithm !== rsaPss) return signatureAlgorithms.has(signatureAlgorithm);
  return strongHashes.some((hash) => Buffer.from(signatureParameters).includes(hash));
}

function namesProblem({ fields }: PathMember, below: readonly PathMember[]): string | undefined {
  const { nameConstraints } = fields;
  if (nameConstraints === undefined) return undefined;
  const isViolated = below.some(
    (one, index) => (index === 0 || !one.fields.isSelfIssued) && !isWithin(nameConstraints, one.fields),
  );
  return isViolated ? "does not permit the names below it" : undefined;
}

/** @param allowed curves, and other kinds of keys, besides RSA */
function keyProblem(key: PublicKeyFacts, allowed: ReadonlySet<string>): string | undefined {
  if (key.kind === "rsa") {
    const { bits, exponent } = key;
    if (bits < minRsaBits || bits > maxRsaBits) {
      return `has an RSA key of ${String(bits)} bits; ${String(minRsaBits)} to ${String(maxRsaBits)} are accepted`;
    }
    return exponent % 2n === 0n || exponent < 3n || exponent > maxRsaExponent
      ? "has an RSA key with an unusable exponent"
      : undefined;
  }
  const name = key.kind === "ec" ? key.curve : key.kind === "other" ? key.algorithm : key.kind;
  return allowed.has(name) ? undefined : `has a key of an unusable kind (${name})`;
}

/**
 * Whether an authority requires a policy that the certificates below it do not share. Chains with mappings of policies
 * are not judged.
 * @param descending from the trust anchor, without it, to the leaf
 * Source: RFC 5280 section 6.1, as far as BoringSSL applies it without a policy set of its own
 */
function lacksRequiredPolicy(descending: readonly PathMember[]): boolean {
  const anyPolicy = "2.5.29.32.0";
  let requiredAfter = Number.POSITIVE_INFINITY;
  let shared: readonly string[] | undefined;
  for (const [index, { fields }] of descending.entries()) {
    if (fields.mapsPolicies) return false;
    const own = fields.policies ?? [];
    if (!own.includes(anyPolicy))
      shared = shared === undefined ? own : own.filter((policy) => shared?.includes(policy));
    if (index > 0 && !fields.isSelfIssued) requiredAfter--;
    requiredAfter = Math.min(requiredAfter, fields.requirePolicyAfter ?? Number.POSITIVE_INFINITY);
    if (requiredAfter <= 0 && index === descending.length - 1 && shared?.length === 0) return true;
  }
  return false;
}

function describeAuthority({ certificate }: PathMember): string {
  return `the authority ${JSON.stringify(certificate.x509.subject.replaceAll("\n", ", ").slice(0, 200))}`;
}
