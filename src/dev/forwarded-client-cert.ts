// SPDX-License-Identifier: Apache-2.0

/** What an Envoy tells the application about the certificate of its caller. */
export interface ForwardedClientCert {
  /** SPIFFE ID of the caller; empty when its certificate had none. */
  readonly uri: string;
  /** SHA-256 of its certificate, hexadecimal. */
  readonly hash: string;
}

/**
 * Reads the header `x-forwarded-client-cert` of one hop: `By=...;Hash=...;URI=...`.
 * Source: Envoy's HTTP connection manager documentation, x-forwarded-client-cert
 */
export function parseForwardedClientCert(header: string): ForwardedClientCert {
  const fields = new Map<string, string>();
  for (const pair of header.split(";")) {
    const at = pair.indexOf("=");
    if (at > 0) fields.set(pair.slice(0, at).trim().toLowerCase(), pair.slice(at + 1).replaceAll('"', ""));
  }
  return { uri: fields.get("uri") ?? "", hash: fields.get("hash") ?? "" };
}
