// SPDX-License-Identifier: Apache-2.0
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { formatPem } from "../../src/lib/pki/pem.ts";
import {
  authorityExtensions,
  extensionOf,
  type Forged,
  forgeCertificate,
  newEcKey,
  newEd25519Key,
  newRsaKey,
  newRsaKeyOfExponentOne,
  signatures,
  spiffeUri,
  usage,
  workloadExtensions,
} from "./forged-certificates.ts";

/** A pair as a CA could return it. */
interface PairCase {
  readonly name: string;
  readonly build: () => { readonly chain: readonly Forged[]; readonly roots: readonly Forged[] };
}

const root = (...more: readonly Uint8Array[]): Forged =>
  forgeCertificate({ subject: "root", extensions: authorityExtensions(...more) });
const plainRoot = root();

const authority = (subject: string, issuer: Forged, extensions = authorityExtensions(), more: object = {}): Forged =>
  forgeCertificate({ subject, issuer, extensions, ...more });

const leafBy = (issuer: Forged, extensions = workloadExtensions(), more: object = {}): Forged =>
  forgeCertificate({ issuer, extensions, ...more });

const leaf = (name: string, extensions: readonly Uint8Array[], more: object = {}): PairCase => ({
  name,
  build: () => ({ chain: [leafBy(plainRoot, extensions, more)], roots: [plainRoot] }),
});

const under = (name: string, between: () => Forged, extensions = workloadExtensions()): PairCase => ({
  name,
  build: () => {
    const one = between();
    return { chain: [leafBy(one, extensions), one], roots: [plainRoot] };
  },
});

const withRoot = (name: string, make: () => Forged, extensions = workloadExtensions()): PairCase => ({
  name,
  build: () => {
    const one = make();
    return { chain: [leafBy(one, extensions)], roots: [one] };
  },
});

/** The certificate with other bytes, which its signature may still fit. */
const changed = (one: Forged, change: (bytes: Buffer) => Uint8Array): Forged => {
  const bytes = change(Buffer.from(one.der));
  return { ...one, der: bytes, pem: formatPem("CERTIFICATE", bytes) };
};
const trailing = (bytes: Buffer): Uint8Array => Buffer.concat([bytes, Buffer.of(0x05, 0)]);
/** The outer length, of two bytes after 0x82, becomes the indefinite one of BER. */
const indefinite = (bytes: Buffer): Uint8Array =>
  Buffer.concat([Buffer.of(0x30, 0x80), bytes.subarray(4), Buffer.of(0, 0)]);
/** An RSA key with a small exponent. */
const rsaKeyWithExponent = (publicExponent: number): KeyObject =>
  generateKeyPairSync("rsa", { modulusLength: 2048, publicExponent }).privateKey;
const hourMs = 3_600_000;

const caExtensions = extensionOf.basicConstraints(true);
const signing = extensionOf.keyUsage("keyCertSign", "cRLSign");
const notCa = extensionOf.basicConstraints(false);
const names = extensionOf.alternativeNames(spiffeUri);
const both = extensionOf.extendedKeyUsage(usage.server, usage.client);
const leafUsage = extensionOf.keyUsage("digitalSignature", "keyEncipherment");

const cases: readonly PairCase[] = [
  leaf("the usual certificate", workloadExtensions()),
  leaf("no extension but the name", [names]),
  leaf("no extended key usage", [notCa, leafUsage, names]),
  leaf("extended key usage for code signing", [
    notCa,
    leafUsage,
    extensionOf.extendedKeyUsage(usage.codeSigning),
    names,
  ]),
  leaf("extended key usage for clients alone", [notCa, leafUsage, extensionOf.extendedKeyUsage(usage.client), names]),
  leaf("extended key usage for servers alone", [notCa, leafUsage, extensionOf.extendedKeyUsage(usage.server), names]),
  leaf("any extended key usage alone", [notCa, leafUsage, extensionOf.extendedKeyUsage(usage.any), names]),
  leaf("key usage that lacks digital signature", [notCa, extensionOf.keyUsage("cRLSign"), both, names]),
  leaf("key usage of key agreement alone", [notCa, extensionOf.keyUsage("keyAgreement"), both, names]),
  leaf("key usage of key encipherment alone", [notCa, extensionOf.keyUsage("keyEncipherment"), both, names]),
  leaf("RSA, key usage of key encipherment alone", [notCa, extensionOf.keyUsage("keyEncipherment"), both, names], {
    key: newRsaKey(),
  }),
  leaf("RSA, key usage of digital signature alone", [notCa, extensionOf.keyUsage("digitalSignature"), both, names], {
    key: newRsaKey(),
  }),
  leaf("a leaf that is an authority", [caExtensions, leafUsage, both, names]),
  leaf("an unknown critical extension", workloadExtensions(extensionOf.unknown(true))),
  leaf("an unknown extension", workloadExtensions(extensionOf.unknown(false))),
  leaf("critical CRL distribution points", workloadExtensions(extensionOf.crlDistributionPoints())),
  leaf("a critical inhibitAnyPolicy", workloadExtensions(extensionOf.inhibitAnyPolicy())),
  leaf("an extension twice", workloadExtensions(both)),
  leaf("a DNS name beside", [notCa, leafUsage, both, extensionOf.alternativeNames(spiffeUri, "DNS:bank.example")]),
  leaf("RSA 2048", workloadExtensions(), { key: newRsaKey(2048) }),
  leaf("RSA 1024", workloadExtensions(), { key: newRsaKey(1024) }),
  leaf("P-384", workloadExtensions(), { key: newEcKey("P-384") }),
  leaf("P-521", workloadExtensions(), { key: newEcKey("P-521") }),
  leaf("P-224", workloadExtensions(), { key: newEcKey("P-224") }),
  leaf("secp256k1", workloadExtensions(), { key: newEcKey("secp256k1") }),
  leaf("Ed25519", workloadExtensions(), { key: newEd25519Key() }),
  leaf("signed with SHA-1", workloadExtensions(), { signature: signatures.ecdsaSha1 }),
  leaf("a negative serial number", workloadExtensions(), { serial: Uint8Array.of(0x80, 1) }),
  leaf("version 1 with extensions", workloadExtensions(), { version: 1 }),
  leaf("expired", workloadExtensions(), { notAfterMs: Date.now() - 60_000 }),
  leaf("not yet valid", workloadExtensions(), { notBeforeMs: Date.now() + hourMs }),
  leaf("RSA with exponent 1", workloadExtensions(), { key: newRsaKeyOfExponentOne() }),
  leaf("RSA with exponent 3", workloadExtensions(), { key: rsaKeyWithExponent(3) }),
  leaf("two SPIFFE IDs", [
    ...[notCa, leafUsage, both],
    extensionOf.alternativeNames(spiffeUri, "URI:spiffe://cluster.local/ns/demo/sa/admin"),
  ]),
  leaf("another URI beside", [notCa, leafUsage, both, extensionOf.alternativeNames(spiffeUri, "URI:https://a.b")]),
  {
    name: "bytes after its end",
    build: () => ({ chain: [changed(leafBy(plainRoot), trailing)], roots: [plainRoot] }),
  },
  {
    name: "a length that is not DER",
    build: () => ({ chain: [changed(leafBy(plainRoot), indefinite)], roots: [plainRoot] }),
  },
  ...(["trailing", "indefinite"] as const).map((kind) => ({
    name: kind === "trailing" ? "an intermediate with bytes after its end" : "an intermediate that is not DER",
    build: () => {
      const one = authority("int", plainRoot);
      return { chain: [leafBy(one), changed(one, kind === "trailing" ? trailing : indefinite)], roots: [plainRoot] };
    },
  })),
  under("an intermediate that is not yet valid", () =>
    authority("int", plainRoot, authorityExtensions(), { notBeforeMs: Date.now() + hourMs }),
  ),
  under("an intermediate with an extension twice", () => authority("int", plainRoot, authorityExtensions(signing))),
  under("an intermediate with a negative serial number", () =>
    authority("int", plainRoot, authorityExtensions(), { serial: Uint8Array.of(0x80, 1) }),
  ),
  under("an intermediate", () => authority("int", plainRoot)),
  under("an intermediate that is no authority", () => authority("int", plainRoot, [notCa])),
  under("an intermediate without basic constraints", () => authority("int", plainRoot, [signing])),
  under("an intermediate that may not sign", () =>
    authority("int", plainRoot, [caExtensions, extensionOf.keyUsage("digitalSignature")]),
  ),
  under("an intermediate without key usage", () => authority("int", plainRoot, [caExtensions])),
  under("an intermediate for email", () =>
    authority("int", plainRoot, authorityExtensions(extensionOf.extendedKeyUsage(usage.email))),
  ),
  under("an intermediate for servers alone", () =>
    authority("int", plainRoot, authorityExtensions(extensionOf.extendedKeyUsage(usage.server))),
  ),
  under("an intermediate for clients alone", () =>
    authority("int", plainRoot, authorityExtensions(extensionOf.extendedKeyUsage(usage.client))),
  ),
  under("an intermediate for both", () => authority("int", plainRoot, authorityExtensions(both))),
  under("an intermediate for any use", () =>
    authority("int", plainRoot, authorityExtensions(extensionOf.extendedKeyUsage(usage.any))),
  ),
  under("an intermediate with an unknown critical extension", () =>
    authority("int", plainRoot, authorityExtensions(extensionOf.unknown(true))),
  ),
  under("an intermediate signed with SHA-1", () =>
    authority("int", plainRoot, authorityExtensions(), { signature: signatures.ecdsaSha1 }),
  ),
  under("an intermediate with RSA 1024", () =>
    authority("int", plainRoot, authorityExtensions(), { key: newRsaKey(1024) }),
  ),
  under("an intermediate with RSA of exponent 1", () =>
    authority("int", plainRoot, authorityExtensions(), { key: newRsaKeyOfExponentOne() }),
  ),
  under("an intermediate with P-224", () =>
    authority("int", plainRoot, authorityExtensions(), { key: newEcKey("P-224") }),
  ),
  under("an intermediate with P-521", () =>
    authority("int", plainRoot, authorityExtensions(), { key: newEcKey("P-521") }),
  ),
  under("an intermediate with Ed25519", () =>
    authority("int", plainRoot, authorityExtensions(), { key: newEd25519Key() }),
  ),
  under("an intermediate of version 1", () => forgeCertificate({ subject: "int", issuer: plainRoot, version: 1 })),
  under("an expired intermediate", () =>
    authority("int", plainRoot, authorityExtensions(), { notAfterMs: Date.now() - 60_000 }),
  ),
  under("an intermediate with path length 0", () =>
    authority("int", plainRoot, [extensionOf.basicConstraints(true, 0), signing]),
  ),
  ...[
    "URI:cluster.local",
    "URI:.local",
    "URI:other.example",
    "URI:.cluster.local",
    "DNS:other.example",
    "dirName:other",
    "IP:10.0.0.0/255.0.0.0",
    "email:x.example",
  ].map((permitted) =>
    under(`an intermediate that permits ${permitted}`, () =>
      authority("int", plainRoot, authorityExtensions(extensionOf.nameConstraints([permitted]))),
    ),
  ),
  ...["URI:cluster.local", "URI:other.example", "DNS:cluster.local"].map((excluded) =>
    under(`an intermediate that excludes ${excluded}`, () =>
      authority("int", plainRoot, authorityExtensions(extensionOf.nameConstraints([], [excluded]))),
    ),
  ),
  under(
    "a DNS name that the intermediate permits",
    () => authority("int", plainRoot, authorityExtensions(extensionOf.nameConstraints(["DNS:bank.example"]))),
    [notCa, leafUsage, both, extensionOf.alternativeNames(spiffeUri, "DNS:a.Bank.example")],
  ),
  under(
    "a DNS name that the intermediate does not permit",
    () => authority("int", plainRoot, authorityExtensions(extensionOf.nameConstraints(["DNS:bank.example"]))),
    [notCa, leafUsage, both, extensionOf.alternativeNames(spiffeUri, "DNS:mybank.example")],
  ),
  under(
    "a DNS name that the intermediate excludes",
    () => authority("int", plainRoot, authorityExtensions(extensionOf.nameConstraints([], ["DNS:bank.example"]))),
    [notCa, leafUsage, both, extensionOf.alternativeNames(spiffeUri, "DNS:bank.example")],
  ),
  under(
    "an IP address under constraints on addresses",
    () => authority("int", plainRoot, authorityExtensions(extensionOf.nameConstraints(["IP:10.0.0.0/255.0.0.0"]))),
    [notCa, leafUsage, both, extensionOf.alternativeNames(spiffeUri, "IP:10.1.1.1")],
  ),
  under(
    "an email address that the intermediate permits",
    () => authority("int", plainRoot, authorityExtensions(extensionOf.nameConstraints(["email:x.example"]))),
    [notCa, leafUsage, both, extensionOf.alternativeNames(spiffeUri, "email:me@x.example")],
  ),
  under("a policy that the intermediate requires and the leaf lacks", () =>
    authority("int", plainRoot, authorityExtensions(extensionOf.policyConstraints(0))),
  ),
  under("a policy required later than the leaf", () =>
    authority("int", plainRoot, authorityExtensions(extensionOf.policyConstraints(5))),
  ),
  under(
    "a policy that the intermediate requires and both have",
    () =>
      authority("int", plainRoot, authorityExtensions(extensionOf.policyConstraints(0), extensionOf.policies("1.2.3"))),
    workloadExtensions(extensionOf.policies("1.2.3")),
  ),
  {
    name: "a violated path length",
    build: () => {
      const first = authority("i1", plainRoot, [extensionOf.basicConstraints(true, 0), signing]);
      const second = authority("i2", first);
      return { chain: [leafBy(second), second, first], roots: [plainRoot] };
    },
  },
  {
    name: "intermediates out of order",
    build: () => {
      const first = authority("i1", plainRoot);
      const second = authority("i2", first);
      return { chain: [leafBy(second), first, second], roots: [plainRoot] };
    },
  },
  {
    name: "an intermediate signed across, by an unknown root first",
    build: () => {
      const old = forgeCertificate({ subject: "old", extensions: authorityExtensions() });
      const byOld = authority("int", old);
      const byNew = authority("int", plainRoot, authorityExtensions(), { key: byOld.key });
      return { chain: [leafBy(byNew), byOld, byNew], roots: [plainRoot] };
    },
  },
  {
    name: "an intermediate signed across, by the known root first",
    build: () => {
      const old = forgeCertificate({ subject: "old", extensions: authorityExtensions() });
      const byOld = authority("int", old);
      const byNew = authority("int", plainRoot, authorityExtensions(), { key: byOld.key });
      return { chain: [leafBy(byNew), byNew, byOld], roots: [plainRoot] };
    },
  },
  {
    name: "an expired intermediate before its valid twin",
    build: () => {
      const valid = authority("int", plainRoot);
      const expired = authority("int", plainRoot, authorityExtensions(), {
        key: valid.key,
        notAfterMs: Date.now() - 1,
      });
      return { chain: [leafBy(valid), expired, valid], roots: [plainRoot] };
    },
  },
  {
    name: "another root of the same name first",
    build: () => ({ chain: [leafBy(plainRoot)], roots: [root(), plainRoot] }),
  },
  {
    name: "an intermediate as the trusted root",
    build: () => {
      const one = authority("int", plainRoot);
      return { chain: [leafBy(one)], roots: [one] };
    },
  },
  {
    name: "the leaf as the trusted root",
    build: () => {
      const one = leafBy(plainRoot);
      return { chain: [one], roots: [one] };
    },
  },
  { name: "an unrelated root", build: () => ({ chain: [leafBy(root())], roots: [plainRoot] }) },
  withRoot("a root for email", () => root(extensionOf.extendedKeyUsage(usage.email))),
  withRoot("a root with an unknown critical extension", () => root(extensionOf.unknown(true))),
  withRoot("a root with a violated name constraint", () => root(extensionOf.nameConstraints(["URI:other.example"]))),
  withRoot("a root that is no authority", () => forgeCertificate({ subject: "root", extensions: [notCa] })),
  withRoot("a root of version 1", () => forgeCertificate({ subject: "root", version: 1 })),
  withRoot("a root that may not sign", () =>
    forgeCertificate({ subject: "root", extensions: [caExtensions, extensionOf.keyUsage("digitalSignature")] }),
  ),
  withRoot("an expired root", () =>
    forgeCertificate({ subject: "root", extensions: authorityExtensions(), notAfterMs: Date.now() - 1 }),
  ),
  withRoot("a root with RSA 1024", () =>
    forgeCertificate({ subject: "root", extensions: authorityExtensions(), key: newRsaKey(1024) }),
  ),
  withRoot("a root signed with SHA-1", () =>
    forgeCertificate({ subject: "root", extensions: authorityExtensions(), signature: signatures.ecdsaSha1 }),
  ),
  withRoot("a root with Ed25519", () =>
    forgeCertificate({ subject: "root", extensions: authorityExtensions(), key: newEd25519Key() }),
  ),
  {
    name: "a path length of the root that is violated",
    build: () => {
      const short = forgeCertificate({ subject: "root", extensions: [extensionOf.basicConstraints(true, 0), signing] });
      const one = authority("int", short);
      return { chain: [leafBy(one), one], roots: [short] };
    },
  },
  {
    name: "signed with MD5",
    build: () => {
      const rsaRoot = forgeCertificate({ subject: "rsa root", key: newRsaKey(), extensions: authorityExtensions() });
      return { chain: [leafBy(rsaRoot, workloadExtensions(), { signature: signatures.rsaMd5 })], roots: [rsaRoot] };
    },
  },
  {
    name: "signed with SHA-1 and RSA",
    build: () => {
      const rsaRoot = forgeCertificate({ subject: "rsa root", key: newRsaKey(), extensions: authorityExtensions() });
      return { chain: [leafBy(rsaRoot, workloadExtensions(), { signature: signatures.rsaSha1 })], roots: [rsaRoot] };
    },
  },
  {
    name: "signed with SHA-512 and RSA",
    build: () => {
      const rsaRoot = forgeCertificate({ subject: "rsa root", key: newRsaKey(), extensions: authorityExtensions() });
      return { chain: [leafBy(rsaRoot, workloadExtensions(), { signature: signatures.rsaSha512 })], roots: [rsaRoot] };
    },
  },
];

/** What a real Envoy rejects, as server or as client, or does not load. */
const rejectedByEnvoy: ReadonlySet<string> = new Set([
  "extended key usage for code signing",
  "extended key usage for clients alone",
  "extended key usage for servers alone",
  "any extended key usage alone",
  "key usage that lacks digital signature",
  "key usage of key agreement alone",
  "key usage of key encipherment alone",
  "RSA, key usage of key encipherment alone",
  "an unknown critical extension",
  "critical CRL distribution points",
  "an extension twice",
  "RSA 1024",
  "RSA with exponent 1",
  "an intermediate with RSA of exponent 1",
  "P-521",
  "P-224",
  "secp256k1",
  "Ed25519",
  "version 1 with extensions",
  "expired",
  "not yet valid",
  "bytes after its end",
  "a length that is not DER",
  "an intermediate that is not DER",
  "an intermediate that is not yet valid",
  "an intermediate with an extension twice",
  "an intermediate that is no authority",
  "an intermediate without basic constraints",
  "an intermediate that may not sign",
  "an intermediate for email",
  "an intermediate for servers alone",
  "an intermediate for clients alone",
  "an intermediate for any use",
  "an intermediate with an unknown critical extension",
  "an intermediate of version 1",
  "an expired intermediate",
  "an intermediate that permits URI:other.example",
  "an intermediate that permits URI:.cluster.local",
  "an intermediate that excludes URI:cluster.local",
  "a DNS name that the intermediate does not permit",
  "a DNS name that the intermediate excludes",
  "an IP address under constraints on addresses",
  "a policy that the intermediate requires and the leaf lacks",
  "a violated path length",
  "an intermediate signed across, by an unknown root first",
  "an expired intermediate before its valid twin",
  "another root of the same name first",
  "an unrelated root",
  "a root with a violated name constraint",
  "a root that may not sign",
  "an expired root",
  "signed with MD5",
]);

/** What Envoy accepts, but the SPIFFE specification, another kind of peer, or our own rules do not. */
const rejectedByAgentAlone: ReadonlySet<string> = new Set([
  "a negative serial number",
  "an intermediate with a negative serial number",
  "an intermediate with bytes after its end",
  "two SPIFFE IDs",
  "another URI beside",
  "a leaf that is an authority",
  "signed with SHA-1",
  "signed with SHA-1 and RSA",
  "an intermediate signed with SHA-1",
  "an intermediate with RSA 1024",
  "the leaf as the trusted root",
  "a root for email",
  "a root with an unknown critical extension",
  "a root that is no authority",
  "a root of version 1",
  "a root with RSA 1024",
  "a path length of the root that is violated",
]);

/** What Envoy rejects for the order of certificates that the agent does not judge. */
const acceptedByAgentAlone: ReadonlySet<string> = new Set(["another root of the same name first"]);

export interface PeerCase extends PairCase {
  readonly envoyAccepts: boolean;
  readonly agentAccepts: boolean;
}

export const peerCases: readonly PeerCase[] = cases.map((one) => {
  const envoyAccepts = !rejectedByEnvoy.has(one.name);
  const agentAccepts = acceptedByAgentAlone.has(one.name) || (envoyAccepts && !rejectedByAgentAlone.has(one.name));
  return { ...one, envoyAccepts, agentAccepts };
});
