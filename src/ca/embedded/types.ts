// SPDX-License-Identifier: Apache-2.0

/** Options of the embedded CA, which is for development and tests. */
export interface EmbeddedCaOptions {
  /** Keeps the root and the keys between runs. Created with mode 0700 when it does not exist. */
  readonly directory: string;
  /** An address or name of this machine. Anything but loopback is logged as a warning. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Names in the server certificate besides the host, loopback and `istiod.istio-system.svc`. */
  readonly serverNames: readonly string[];
  readonly trustDomain: string;
  /** Of the tokens that are accepted and issued; Istio's is `istio-ca`. */
  readonly audience: string;
  /** For requests that name no lifetime. */
  readonly defaultTtlMs: number;
  /** The longest lifetime that a certificate gets. Read at each request, so that a getter may change it. */
  readonly maxTtlMs: number;
  /** How long before now certificates begin. */
  readonly backdateMs: number;
  /** Public keys of other issuers whose tokens are accepted: RSA for RS256, EC P-256 for ES256. */
  readonly trustedTokenKeysPem: readonly string[];
}

export interface DevelopmentTokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Default: the audience of the CA. */
  readonly audience?: string;
  readonly ttlMs: number;
}

/** A CA that serves until it is disposed. */
export interface EmbeddedCa extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** Verifies the server and workload certificates; also in `root-cert.pem` in the directory. */
  readonly rootPem: string;
  issueToken(request: DevelopmentTokenRequest): string;
}
