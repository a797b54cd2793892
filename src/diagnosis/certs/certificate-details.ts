// SPDX-License-Identifier: Apache-2.0
import type { KeyObject, X509Certificate } from "node:crypto";
import type { ReadCertificate } from "../../cert/index.ts";
import { formatIp } from "../../lib/net/ip-address.ts";
import { type GeneralName, generalNameTag, readCertificateFields } from "../../lib/pki/certificate-fields.ts";
import { escapeControls } from "../../lib/printable-text.ts";

/** A certificate as people read it. Contains no part of a key. */
export interface CertificateDetails {
  /** Undefined where it has none. */
  readonly spiffeId: string | undefined;
  /** The parts of the name on one line; empty where a workload's certificate has none. */
  readonly subject: string;
  readonly issuer: string;
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** Negative after the end. */
  readonly secondsLeft: number;
  /** The alternative names with their kinds: `URI:spiffe://...`, `DNS:...`. */
  readonly names: readonly string[];
  /** Such as `ECDSA P-256`. */
  readonly key: string;
  readonly isAuthority: boolean;
  /** Upper-case hexadecimal, as Envoy, Node and OpenSSL print it. */
  readonly serial: string;
  /** Of the DER, lower-case hexadecimal, as in the header `x-forwarded-client-cert`. */
  readonly sha256: string;
}

const mostText = 300;

export function describeCertificate(
  { x509, notBeforeMs, notAfterMs }: ReadCertificate,
  nowMs: number,
): CertificateDetails {
  const names = alternativeNames(x509);
  return {
    spiffeId: names.find((name) => name.startsWith("URI:spiffe://"))?.slice("URI:".length),
    subject: formatName(x509.subject),
    issuer: formatName(x509.issuer),
    notBefore: isoSeconds(notBeforeMs),
    notAfter: isoSeconds(notAfterMs),
    secondsLeft: Math.floor((notAfterMs - nowMs) / 1_000),
    names,
    key: describeKey(x509.publicKey),
    isAuthority: x509.ca,
    serial: x509.serialNumber,
    sha256: x509.fingerprint256.replaceAll(":", "").toLowerCase(),
  };
}

/** ISO 8601 without fractions: certificates have none. */
function isoSeconds(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** A distinguished name on one line. Node puts each part on a line of its own. */
export function formatName(name: string | undefined): string {
  const line = escapeControls((name ?? "").replaceAll("\n", ", "));
  return line.length > mostText ? `${line.slice(0, mostText)}...` : line;
}

/** Empty where the certificate has none, or where it cannot be read as strictly as Envoy reads it. */
function alternativeNames(x509: X509Certificate): readonly string[] {
  try {
    return readCertificateFields(x509.raw).alternativeNames.map(formatAlternativeName);
  } catch {
    return x509.subjectAltName === undefined ? [] : [formatName(x509.subjectAltName)];
  }
}

function formatAlternativeName({ tag, value }: GeneralName): string {
  const text = (): string => formatName(Buffer.from(value).toString("latin1"));
  switch (tag) {
    case generalNameTag.uri:
      return `URI:${text()}`;
    case generalNameTag.dns:
      return `DNS:${text()}`;
    case generalNameTag.email:
      return `email:${text()}`;
    case generalNameTag.ip:
      return value.length === 4 || value.length === 16 ? `IP:${formatIp(value)}` : "IP:malformed";
    default:
      return `other:${Buffer.from(value).toString("hex").slice(0, mostText)}`;
  }
}

/** The names of curves in NIST's notation, as Envoy's documentation has them. */
const curves: Readonly<Record<string, string>> = { prime256v1: "P-256", secp384r1: "P-384", secp521r1: "P-521" };

function describeKey(key: KeyObject): string {
  const { namedCurve = "", modulusLength } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "ec":
      return `ECDSA ${curves[namedCurve] ?? namedCurve}`;
    case "rsa":
    case "rsa-pss":
      return `RSA ${String(modulusLength ?? "")}`.trim();
    default:
      return key.asymmetricKeyType ?? "unknown";
  }
}
