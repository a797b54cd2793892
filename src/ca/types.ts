// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import type { TlsClientConfig, TlsClientPolicy } from "../lib/net/tls-client.ts";
import type { Budgets } from "../model/limits.ts";
import type { ResponseCheck, SignedChain, SigningRequest } from "../model/signing.ts";

export interface CaDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly budgets: Budgets;
}

/** A client of one CA, or of several in order of preference. One call is one attempt. */
export interface CaClient extends AsyncDisposable {
  /**
   * Sends the request.
   * @returns what `check` returns for the response
   * @throws CaError, what `check` throws, or the signal's reason
   */
  sign<T>(request: SigningRequest, check: ResponseCheck<T>, signal: AbortSignal): Promise<T>;
  /** Resolves when a file that the calls depend on has changed since the last call began, or on abort. */
  untilChanged(signal: AbortSignal): Promise<void>;
  /** Resolves when the CA accepts connections again, or on abort; for use after a failure to connect. */
  untilReachable?(signal: AbortSignal): Promise<void>;
  /** What the CA has not done yet in a call that is under way: `the CA at istiod:15012 does not …`. */
  describeWait?(): string | undefined;
  /** Whether the same request may be sent again while the first is pending: the CA keeps nothing of either. */
  readonly supportsHedging: boolean;
}

/** How one kind of CA is called; `createCaClient` makes a client of it. */
export interface CaProtocol extends AsyncDisposable {
  /** @throws CaError, or the signal's reason */
  sign(request: SigningRequest, signal: AbortSignal): Promise<SignedChain>;
  /** The files that decide whether a call can succeed: token, roots, credentials. */
  readonly causeFiles: readonly string[];
  /** Resolves when a credential that the last call lacked can be had, or on abort. It comes from no file. */
  untilCredential?(signal: AbortSignal): Promise<void>;
  untilReachable?(signal: AbortSignal): Promise<void>;
  /** What the CA has not done yet in a call that is under way. */
  describeWait?(): string | undefined;
}

/** Where certificates are signed. */
export type CaConfig = SingleCaConfig | FailoverCaConfig;

/** One CA; one kind for each protocol. */
export type SingleCaConfig = IstioCaConfig | VaultCaConfig | StepCaConfig | KubernetesCsrConfig | EmbeddedCaConfig;

/** Several CAs in order of preference: while those before it fail, the next one signs. */
export interface FailoverCaConfig {
  readonly kind: "failover";
  readonly sources: readonly SingleCaConfig[];
  /** How long a CA must fail before the next one is called. `ATTACHE_CA_FAILOVER_AFTER`, default 30 s. */
  readonly switchAfterMs: number;
}

/** `istio.v1.auth.IstioCertificateService`: istiod, istio-csr, or the embedded CA. */
export interface IstioCaConfig {
  readonly kind: "istio";
  readonly host: string;
  readonly port: number;
  readonly security: CaSecurity;
  /** Sent as `authorization: Bearer …`; undefined sends none. Read for each attempt. */
  readonly tokenPath: string | undefined;
  /** When set, the machine's identity token from its cloud's metadata server is sent instead. */
  readonly cloudToken: CloudTokenConfig | undefined;
  /** Sent as `clusterid`, even when empty. */
  readonly clusterId: string;
  /** `CertSigner` in the request's metadata; empty when not set. */
  readonly certSigner: string;
  /** Additional request metadata; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutPerTryMs: number;
  readonly keepalive: { readonly intervalMs: number; readonly timeoutMs: number };
}

/** Google's metadata server; `CREDENTIAL_FETCHER_TYPE=GoogleComputeEngine`. */
export interface CloudTokenConfig {
  readonly host: string;
  readonly port: number;
  readonly audience: string;
}

/** HashiCorp Vault's or OpenBao's PKI secrets engine. */
export interface VaultCaConfig {
  readonly kind: "vault";
  readonly server: HttpServer;
  /** `X-Vault-Namespace`; empty sends none. */
  readonly namespace: string;
  /** The path below `/v1/` that signs, such as `pki/sign/mesh` or `pki/issuer/blue/sign/mesh`. */
  readonly signPath: string;
  readonly auth: VaultAuth;
  readonly timeoutPerTryMs: number;
}

export type VaultAuth =
  | { readonly kind: "token-file"; readonly path: string }
  /** The Kubernetes or JWT method: logs in with a service-account token. */
  | { readonly kind: "kubernetes"; readonly mount: string; readonly role: string; readonly tokenPath: string }
  | { readonly kind: "approle"; readonly mount: string; readonly roleIdPath: string; readonly secretIdPath: string };

/** Smallstep's step-ca. */
export interface StepCaConfig {
  readonly kind: "step";
  readonly server: HttpServer;
  readonly auth: StepAuth;
  readonly timeoutPerTryMs: number;
}

export type StepAuth =
  /** The K8sSA provisioner: the service-account token itself. */
  | { readonly kind: "kubernetes"; readonly tokenPath: string }
  /** A JWK provisioner: a one-time token is signed for each attempt. The key is a PEM file: EC P-256 or RSA. */
  | { readonly kind: "jwk"; readonly provisioner: string; readonly keyId: string; readonly keyPath: string };

/** The API `certificates.k8s.io/v1`; requests are approved outside the agent. */
export interface KubernetesCsrConfig {
  readonly kind: "kubernetes-csr";
  readonly server: HttpServer;
  readonly tokenPath: string;
  readonly signerName: string;
  /** The signer's roots, which the API does not return. */
  readonly rootsPath: string;
  /** Covers request, approval and signing together. */
  readonly timeoutPerTryMs: number;
}

/** Signs in this process with a root kept in a directory; agents that share the directory trust each other. */
export interface EmbeddedCaConfig {
  readonly kind: "embedded";
  readonly directory: string;
}

/** The address of an HTTP server, and how it is verified. */
export interface HttpServer {
  readonly host: string;
  readonly port: number;
  readonly security: CaSecurity;
}

export type CaSecurity = { readonly kind: "plaintext" } | ({ readonly kind: "tls" } & TlsClientConfig);

export type TlsPolicy = TlsClientPolicy;
