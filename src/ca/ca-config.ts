// SPDX-License-Identifier: Apache-2.0
import type { TlsClientConfig, TlsClientPolicy } from "../lib/net/tls-client.ts";

/** Where certificates are signed. */
export type CaConfig = SingleCaConfig | FailoverCaConfig;

/** One CA; one kind for each protocol. */
export type SingleCaConfig = IstioCaConfig | VaultCaConfig | StepCaConfig | KubernetesCsrConfig | EmbeddedCaConfig;

/** Several CAs in order of preference: the next one signs while those before it fail. */
export interface FailoverCaConfig {
  readonly kind: "failover";
  readonly sources: readonly SingleCaConfig[];
  /** For how long a CA must fail before the next is asked. `ATTACHE_CA_FAILOVER_AFTER`, 30 s unless set. */
  readonly switchAfterMs: number;
}

/** `istio.v1.auth.IstioCertificateService`: istiod, istio-csr, or the embedded CA. */
export interface IstioCaConfig {
  readonly kind: "istio";
  readonly host: string;
  readonly port: number;
  readonly security: CaSecurity;
  /** Sent as `authorization: Bearer …`; undefined sends none. Read anew for each try. */
  readonly tokenPath: string | undefined;
  /** The machine's own identity token instead, from its cloud's metadata server. */
  readonly cloudToken: CloudTokenConfig | undefined;
  /** Sent as `clusterid`, also when empty. */
  readonly clusterId: string;
  /** The CSR metadata `CertSigner`; empty when not set. */
  readonly certSigner: string;
  /** More request metadata, names in lower case. */
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
  /** What is posted to below `/v1/`, such as `pki/sign/mesh` or `pki/issuer/blue/sign/mesh`. */
  readonly signPath: string;
  readonly auth: VaultAuth;
  readonly timeoutPerTryMs: number;
}

export type VaultAuth =
  | { readonly kind: "token-file"; readonly path: string }
  /** The Kubernetes or JWT method: a service-account token is given for a login. */
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
  /** A JWK provisioner: a one-time token is made for each try. The key is a PEM file: EC P-256, or RSA. */
  | { readonly kind: "jwk"; readonly provisioner: string; readonly keyId: string; readonly keyPath: string };

/** The API `certificates.k8s.io/v1`; somebody else approves. */
export interface KubernetesCsrConfig {
  readonly kind: "kubernetes-csr";
  readonly server: HttpServer;
  readonly tokenPath: string;
  readonly signerName: string;
  /** The signer's roots, which the API does not hand out. */
  readonly rootsPath: string;
  /** For the request, its approval and its signing together. */
  readonly timeoutPerTryMs: number;
}

/** Signs in this process with a root kept in a folder; agents that share the folder trust each other. */
export interface EmbeddedCaConfig {
  readonly kind: "embedded";
  readonly directory: string;
}

/** An HTTP server, addressed and verified. */
export interface HttpServer {
  readonly host: string;
  readonly port: number;
  readonly security: CaSecurity;
}

export type CaSecurity = { readonly kind: "plaintext" } | ({ readonly kind: "tls" } & TlsClientConfig);

export type TlsPolicy = TlsClientPolicy;
