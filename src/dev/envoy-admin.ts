// SPDX-License-Identifier: Apache-2.0
import { type EnvoyCertificate, parseCertificatesPage } from "./certificates-page.ts";
import { loopback, requestHttp } from "../lib/net/http-client.ts";

const maxConfigurationBytes = 256 * 1024 * 1024;

/** What Envoy itself says, on its admin port. */
export class EnvoyAdmin {
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  /** Whether Envoy's process answers at all, in whatever state. */
  async answers(signal: AbortSignal): Promise<boolean> {
    const { status } = await requestHttp({ url: loopback(this.#port, "/server_info") }, signal);
    return status === 200;
  }

  /** The certificates that its TLS contexts use now; empty until the first is there. */
  async certificates(signal: AbortSignal): Promise<readonly EnvoyCertificate[]> {
    const response = await requestHttp({ url: loopback(this.#port, "/certs") }, signal);
    return parseCertificatesPage(response.text());
  }

  /** Whether any resource, or all of a type together, is in use with this version. */
  async usesVersion(version: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#configuration(signal)).includes(JSON.stringify(version));
  }

  /** Whether, of each of the sets, one version is in use. */
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
