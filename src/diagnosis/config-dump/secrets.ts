// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { isJsonObject, type JsonObject, objectOf, objectsOf, textOf } from "../../lib/json.ts";
import { generalNameTag, readCertificateFields } from "../../lib/pki/certificate-fields.ts";
import type { Resource } from "./resources.ts";

/** One line of the table of secrets. */
export interface SecretRow {
  readonly resourceName: string;
  /** `Cert Chain`, `CA`; for other kinds of secrets what they are. */
  readonly type: string;
  readonly status: string;
  readonly validCert: boolean;
  /** 32 hexadecimal digits. */
  readonly serialNumber: string;
  /** RFC 3339; empty without a certificate. */
  readonly notAfter: string;
  readonly notBefore: string;
  /** Empty when the certificate has no SPIFFE ID and belongs to no trust bundle. */
  readonly trustDomain: string;
}

/** One row for a secret, and for a secret with the bundles of several trust domains one for each. */
export function secretRows(resource: Resource, nowMs: number): readonly SecretRow[] {
  const { config, version, state } = resource;
  const head = {
    resourceName: textOf(config["name"]),
    status: state === "active" && version === "uninitialized" ? "UNINITIALIZED" : state.toUpperCase(),
  };
  const chain = inlineText(objectOf(config["tlsCertificate"])["certificateChain"]);
  const validation = objectOf(config["validationContext"]);
  const roots = inlineText(validation["trustedCa"]);
  const pem = chain === "" ? roots : chain;
  if (pem !== "") return [{ ...head, ...certificateFacts(pem, nowMs) }];
  const bundles = trustBundles(validation);
  if (bundles.length === 0) return [{ ...head, ...withoutCertificate, type: otherType(config) }];
  return bundles.map(({ name, trustBundle }) => {
    const facts = certificateFacts(inlineText(trustBundle), nowMs);
    return { ...head, ...facts, trustDomain: textOf(name) };
  });
}

const withoutCertificate = {
  type: "",
  validCert: false,
  serialNumber: "",
  notAfter: "",
  notBefore: "",
  trustDomain: "",
} as const;

function otherType({ sessionTicketKeys, genericSecret }: JsonObject): string {
  if (sessionTicketKeys !== undefined) return "Session Tickets";
  return genericSecret === undefined ? "" : "Generic";
}

/** Source: envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig */
function trustBundles(validation: JsonObject): readonly JsonObject[] {
  const config = objectOf(objectOf(validation["customValidatorConfig"])["typedConfig"]);
  return textOf(config["@type"]).endsWith(".SPIFFECertValidatorConfig") ? objectsOf(config["trustDomains"]) : [];
}

function inlineText(source: JsonObject[string] | undefined): string {
  if (!isJsonObject(source)) return "";
  const { inlineBytes, inlineString } = source;
  return typeof inlineBytes === "string" ? Buffer.from(inlineBytes, "base64").toString("latin1") : textOf(inlineString);
}

type CertificateFacts = Omit<SecretRow, "resourceName" | "status">;

/** Of the first certificate. */
function certificateFacts(pem: string, nowMs: number): CertificateFacts {
  try {
    const certificate = new X509Certificate(pem);
    const [notBeforeMs, notAfterMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
    return {
      type: certificate.ca ? "CA" : "Cert Chain",
      validCert: nowMs > notBeforeMs && nowMs < notAfterMs,
      serialNumber: certificate.serialNumber.toLowerCase().replace(/^0+/, "").padStart(32, "0"),
      notAfter: renderTime(notAfterMs),
      notBefore: renderTime(notBeforeMs),
      trustDomain: trustDomainOf(certificate.raw),
    };
  } catch {
    return withoutCertificate;
  }
}

function renderTime(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

function trustDomainOf(der: Uint8Array): string {
  const uris = readCertificateFields(der)
    .alternativeNames.filter(({ tag }) => tag === generalNameTag.uri)
    .map(({ value }) => Buffer.from(value).toString("latin1"));
  return uris.map((uri) => /^spiffe:\/\/([^/?#]+)/.exec(uri)?.[1] ?? "").findLast((name) => name !== "") ?? "";
}
