// SPDX-License-Identifier: Apache-2.0

/** One certificate in use by Envoy. */
export interface EnvoyCertificate {
  /** Empty when the certificate has no URI name. */
  readonly spiffeId: string;
  /** Lower-case hexadecimal, as Envoy prints it. */
  readonly serial: string;
  /** RFC 3339, in UTC. */
  readonly notAfter: string;
}

/**
 * Reads the page `/certs` of Envoy's admin port: the leaf of each certificate chain, each once.
 * @throws SyntaxError when it is not JSON
 * Source: envoy.admin.v3.Certificates; observed with Envoy 1.40
 */
export function parseCertificatesPage(text: string): readonly EnvoyCertificate[] {
  const found = new Map<string, EnvoyCertificate>();
  for (const entry of listAt(JSON.parse(text), "certificates")) {
    const leaf = listAt(entry, "cert_chain")[0];
    const serial = textAt(leaf, "serial_number");
    if (serial === "") continue;
    const spiffeId = listAt(leaf, "subject_alt_names")
      .map((name) => textAt(name, "uri"))
      .find((uri) => uri !== "");
    found.set(serial, { spiffeId: spiffeId ?? "", serial, notAfter: textAt(leaf, "expiration_time") });
  }
  return [...found.values()];
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

function listAt(value: unknown, name: string): readonly unknown[] {
  const list = fieldOf(value, name);
  return Array.isArray(list) ? list : [];
}

function textAt(value: unknown, name: string): string {
  const text = fieldOf(value, name);
  return typeof text === "string" ? text : "";
}
