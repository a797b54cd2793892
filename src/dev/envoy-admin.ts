// SPDX-License-Identifier: Apache-2.0
import { loopback, requestHttp } from "../lib/net/http-client.ts";

const maxConfigurationBytes = 256 * 1024 * 1024;

/** One certificate in use by Envoy. */
export interface EnvoyCertificate {
  /** Empty when the certificate has no URI name. */
  readonly spiffeId: string;
  /** Lower-case hexadecimal, as Envoy prints it. */
  readonly serial: string;
  /** RFC 3339, in UTC. */
  readonly notAfter: string;
}

/** Envoy's admin port. */
export class EnvoyAdmin {
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  /** Whether Envoy responds, in any state. */
  async responds(signal: AbortSignal): Promise<boolean> {
    const { status } = await requestHttp({ url: loopback(this.#port, "/server_info") }, signal);
    return status === 200;
  }

  /** The certificates that its TLS contexts use now. */
  async certificates(signal: AbortSignal): Promise<readonly EnvoyCertificate[]> {
    const response = await requestHttp({ url: loopback(this.#port, "/certs") }, signal);
    return parseCertificatesPage(response.text());
  }

  /** Whether any resource, or any type as a whole, is in use with this version. */
  async usesVersion(version: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#configuration(signal)).includes(JSON.stringify(version));
  }

  /** Whether one version of each set is in use. */
  async usesOneOfEach(sets: readonly (readonly string[])[], signal: AbortSignal): Promise<boolean> {
    const configuration = await this.#configuration(signal);
    return sets.every((versions) => versions.some((version) => configuration.includes(JSON.stringify(version))));
  }

  async #configuration(signal: AbortSignal): Promise<string> {
    const url = loopback(this.#port, "/config_dump?include_eds");
    const response = await requestHttp({ url, maxBodyBytes: maxConfigurationBytes }, signal);
    return response.text();
  }
}

/**
 * Parses the response of `/certs`: the leaf of each certificate chain, each once.
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
