// SPDX-License-Identifier: Apache-2.0
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { derOid } from "../../src/lib/pki/der.ts";
import { formatPem } from "../../src/lib/pki/pem.ts";

/** A certificate with its key, which can issue others. */
export interface Forged {
  readonly pem: string;
  readonly der: Uint8Array;
  readonly key: KeyObject;
  readonly subject: string | undefined;
  readonly keyPem: string;
}

export interface ForgedFacts {
  /** Undefined: an empty subject. */
  readonly subject?: string;
  /** Default: a new key on P-256. */
  readonly key?: KeyObject;
  /** Default: itself. */
  readonly issuer?: Forged;
  readonly extensions?: readonly Uint8Array[];
  /** Default: SHA-256 with the issuer's kind of key. */
  readonly signature?: { readonly oid: string; readonly hash: string | null };
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly serial?: Uint8Array;
  readonly version?: 1 | 3;
}

/** One DER element. */
export function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(content);
  const size = body.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Buffer.concat([Uint8Array.of(tag, ...length), body]);
}

const sequence = (...content: readonly Uint8Array[]): Uint8Array => der(0x30, ...content);
const octets = (content: Uint8Array): Uint8Array => der(0x04, content);
const text = (tag: number, value: string): Uint8Array => der(tag, Buffer.from(value));

export const newEcKey = (curve = "P-256"): KeyObject => generateKeyPairSync("ec", { namedCurve: curve }).privateKey;
export const newRsaKey = (bits = 2048): KeyObject => generateKeyPairSync("rsa", { modulusLength: bits }).privateKey;
/** With the exponent 1, a signature is the text that is signed: anybody can make it. */
export function newRsaKeyOfExponentOne(): KeyObject {
  const one = "AQ";
  const jwk = newRsaKey().export({ format: "jwk" });
  return createPrivateKey({ key: { ...jwk, e: one, d: one, dp: one, dq: one }, format: "jwk" });
}
export const newEd25519Key = (): KeyObject => generateKeyPairSync("ed25519").privateKey;

/** Any certificate, right or wrong: what a broken or hostile CA could return. */
export function forgeCertificate(facts: ForgedFacts): Forged {
  const key = facts.key ?? newEcKey();
  const signer = facts.issuer ?? { key, subject: facts.subject };
  const { oid, hash } = facts.signature ?? defaultSignature(signer.key);
  const algorithm = sequence(derOid(oid), ...(oid.startsWith("1.2.840.113549.1.1.") ? [der(0x05)] : []));
  const { extensions = [], version = 3 } = facts;
  const body = sequence(
    ...(version === 3 ? [der(0xa0, der(0x02, Uint8Array.of(2)))] : []),
    der(
      0x02,
      facts.serial ?? createHash("sha256").update(String(Math.random())).digest().fill(0x40, 0, 1).subarray(0, 16),
    ),
    algorithm,
    nameOf(signer.subject),
    sequence(
      utcTime(facts.notBeforeMs ?? Date.now() - 3_600_000),
      utcTime(facts.notAfterMs ?? Date.now() + 86_400_000),
    ),
    nameOf(facts.subject),
    createPublicKey(key).export({ type: "spki", format: "der" }),
    ...(extensions.length === 0 ? [] : [der(0xa3, sequence(...extensions))]),
  );
  const bytes = sequence(body, algorithm, der(0x03, Uint8Array.of(0), sign(hash, body, signer.key)));
  const keyPem = key.export({ type: "pkcs8", format: "pem" });
  return { der: bytes, pem: formatPem("CERTIFICATE", bytes), key, subject: facts.subject, keyPem };
}

export const signatures = {
  ecdsaSha1: { oid: "1.2.840.10045.4.1", hash: "sha1" },
  rsaMd5: { oid: "1.2.840.113549.1.1.4", hash: "md5" },
  rsaSha1: { oid: "1.2.840.113549.1.1.5", hash: "sha1" },
  rsaSha512: { oid: "1.2.840.113549.1.1.13", hash: "sha512" },
} as const;

function defaultSignature(key: KeyObject): { readonly oid: string; readonly hash: string | null } {
  if (key.asymmetricKeyType === "ed25519") return { oid: "1.3.101.112", hash: null };
  return key.asymmetricKeyType === "rsa"
    ? { oid: "1.2.840.113549.1.1.11", hash: "sha256" }
    : { oid: "1.2.840.10045.4.3.2", hash: "sha256" };
}

function nameOf(subject: string | undefined): Uint8Array {
  if (subject === undefined) return sequence();
  return sequence(der(0x31, sequence(derOid("2.5.4.10"), text(0x0c, subject))));
}

function utcTime(ms: number): Uint8Array {
  return text(
    0x17,
    `${new Date(ms)
      .toISOString()
      .replaceAll(/[-:T]|\.\d+/g, "")
      .slice(2, 14)}Z`,
  );
}

function extension(oid: string, isCritical: boolean, value: Uint8Array): Uint8Array {
  return sequence(derOid(oid), ...(isCritical ? [der(0x01, Uint8Array.of(0xff))] : []), octets(value));
}

export const keyUsageBit = { digitalSignature: 0, keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5, cRLSign: 6 };

export const usage = {
  server: "1.3.6.1.5.5.7.3.1",
  client: "1.3.6.1.5.5.7.3.2",
  codeSigning: "1.3.6.1.5.5.7.3.3",
  email: "1.3.6.1.5.5.7.3.4",
  any: "2.5.29.37.0",
};

/** A general name: `URI:…`, `DNS:…`, `email:…`, `IP:a.b.c.d`, or `dirName:organization`. */
function generalName(name: string): Uint8Array {
  const kind = name.slice(0, name.indexOf(":"));
  const value = name.slice(name.indexOf(":") + 1);
  switch (kind) {
    case "URI":
      return text(0x86, value);
    case "DNS":
      return text(0x82, value);
    case "email":
      return text(0x81, value);
    case "IP":
      return der(0x87, Uint8Array.from(value.split(/[./]/).map(Number)));
    case "dirName":
      return der(0xa4, nameOf(value));
    default:
      throw new Error(`unknown kind of name ${name}`);
  }
}

/** Extensions as DER. Each is critical where RFC 5280 wants it. */
export const extensionOf = {
  basicConstraints: (isAuthority: boolean, pathLength?: number): Uint8Array =>
    extension(
      "2.5.29.19",
      true,
      sequence(
        ...(isAuthority ? [der(0x01, Uint8Array.of(0xff))] : []),
        ...(pathLength === undefined ? [] : [der(0x02, Uint8Array.of(pathLength))]),
      ),
    ),
  keyUsage: (...names: readonly (keyof typeof keyUsageBit)[]): Uint8Array => {
    const byte = names.reduce((bits, name) => bits | (0x80 >> keyUsageBit[name]), 0);
    const unused = 31 - Math.clz32(byte & -byte);
    return extension("2.5.29.15", true, der(0x03, byte === 0 ? Uint8Array.of(0) : Uint8Array.of(unused, byte)));
  },
  extendedKeyUsage: (...oids: readonly string[]): Uint8Array =>
    extension("2.5.29.37", false, sequence(...oids.map((oid) => derOid(oid)))),
  alternativeNames: (...names: readonly string[]): Uint8Array =>
    extension("2.5.29.17", true, sequence(...names.map(generalName))),
  nameConstraints: (permitted: readonly string[], excluded: readonly string[] = []): Uint8Array => {
    const trees = (tag: number, names: readonly string[]): readonly Uint8Array[] =>
      names.length === 0 ? [] : [der(tag, ...names.map((name) => sequence(generalName(name))))];
    return extension("2.5.29.30", true, sequence(...trees(0xa0, permitted), ...trees(0xa1, excluded)));
  },
  policies: (...oids: readonly string[]): Uint8Array =>
    extension("2.5.29.32", false, sequence(...oids.map((oid) => sequence(derOid(oid))))),
  /** requireExplicitPolicy after so many certificates. */
  policyConstraints: (skip: number): Uint8Array =>
    extension("2.5.29.36", true, sequence(der(0x80, Uint8Array.of(skip)))),
  inhibitAnyPolicy: (): Uint8Array => extension("2.5.29.54", true, der(0x02, Uint8Array.of(0))),
  crlDistributionPoints: (): Uint8Array => extension("2.5.29.31", true, sequence()),
  unknown: (isCritical: boolean): Uint8Array => extension("1.2.3.4.5", isCritical, text(0x0c, "x")),
  raw: extension,
};

/** The usual extensions of an authority. */
export const authorityExtensions = (...more: readonly Uint8Array[]): readonly Uint8Array[] => [
  extensionOf.basicConstraints(true),
  extensionOf.keyUsage("keyCertSign", "cRLSign"),
  ...more,
];

export const spiffeUri = "URI:spiffe://cluster.local/ns/demo/sa/web";

/** The usual extensions of a workload certificate. */
export const workloadExtensions = (...more: readonly Uint8Array[]): readonly Uint8Array[] => [
  extensionOf.basicConstraints(false),
  extensionOf.keyUsage("digitalSignature", "keyEncipherment"),
  extensionOf.extendedKeyUsage(usage.server, usage.client),
  extensionOf.alternativeNames(spiffeUri),
  ...more,
];

/** A signing request, right or wrong, as PEM. */
export function forgeRequest(facts: {
  readonly key: KeyObject;
  readonly extensions?: readonly Uint8Array[];
  readonly signature?: { readonly oid: string; readonly hash: string | null };
  readonly spki?: Uint8Array;
}): string {
  const { oid, hash } = facts.signature ?? defaultSignature(facts.key);
  const { extensions = [extensionOf.alternativeNames(spiffeUri)] } = facts;
  const request = sequence(derOid("1.2.840.113549.1.9.14"), der(0x31, sequence(...extensions)));
  const info = sequence(
    der(0x02, Uint8Array.of(0)),
    nameOf(undefined),
    facts.spki ?? createPublicKey(facts.key).export({ type: "spki", format: "der" }),
    der(0xa0, request),
  );
  const signature = der(0x03, Uint8Array.of(0), sign(hash, info, facts.key));
  return formatPem("CERTIFICATE REQUEST", sequence(info, sequence(derOid(oid)), signature));
}
