// SPDX-License-Identifier: Apache-2.0

/** The certificate that this workload presents, with its key, which no rendering of this value contains. */
export class ClientPair {
  readonly chainPem: string;
  readonly #keyPem: string;

  constructor(chainPem: string, keyPem: string) {
    this.chainPem = chainPem;
    this.#keyPem = keyPem;
  }

  /** For the TLS library alone. */
  tlsOptions(): { readonly cert: string; readonly key: string } {
    return { cert: this.chainPem, key: this.#keyPem };
  }
}
