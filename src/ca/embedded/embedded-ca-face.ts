// SPDX-License-Identifier: Apache-2.0

/** How the embedded CA runs. It is for development and tests. */
export interface EmbeddedCaOptions {
  /** Keeps the root and the keys over restarts; made, with mode 0700, when it is not there. */
  readonly directory: string;
  /** An address or name of this machine; anything but loopback is warned about. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Names, beside the host's, those of loopback and `istiod.istio-system.svc`, under which clients verify the server. */
  readonly serverNames: readonly string[];
  readonly trustDomain: string;
  /** Of the tokens accepted and issued; Istio's is `istio-ca`. */
  readonly audience: string;
  /** For requests that ask for none; an hour is meant. */
  readonly defaultTtlMs: number;
  /** The most that a request gets; a day is meant. Read at each request, so that a getter may change it. */
  readonly maxTtlMs: number;
  /** How long before now certificates begin; two minutes are meant. */
  readonly backdateMs: number;
  /** Public keys of others whose tokens are accepted: RSA for RS256, EC P-256 for ES256. */
  readonly trustedTokenKeysPem: readonly string[];
}

/** What a token is for. */
export interface DevelopmentTokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The CA's own, when not given. */
  readonly audience?: string;
  readonly ttlMs: number;
}

/** A CA that serves until it is disposed. */
export interface EmbeddedCa extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** What clients verify the server and workloads by; also in `root-cert.pem` in the folder. */
  readonly rootPem: string;
  issueToken(request: DevelopmentTokenRequest): string;
}
