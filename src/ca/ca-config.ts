// SPDX-License-Identifier: Apache-2.0

/** Where certificates are signed; one kind for each protocol. */
export type CaConfig = IstioCaConfig;

/** `istio.v1.auth.IstioCertificateService`: istiod, istio-csr, or the embedded CA. */
export interface IstioCaConfig {
  readonly kind: "istio";
  readonly host: string;
  readonly port: number;
  readonly security: CaSecurity;
  /** Sent as `authorization: Bearer …`; undefined sends none. Read anew for each try. */
  readonly tokenPath: string | undefined;
  /** Sent as `clusterid`, also when empty. */
  readonly clusterId: string;
  /** The CSR metadata `CertSigner`; empty when not set. */
  readonly certSigner: string;
  /** More request metadata, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutPerTryMs: number;
  readonly keepalive: { readonly intervalMs: number; readonly timeoutMs: number };
}

export type CaSecurity =
  | { readonly kind: "plaintext" }
  | {
      readonly kind: "tls";
      /** For SNI, verification and `:authority`. */
      readonly serverName: string;
      readonly roots: { readonly kind: "system" } | { readonly kind: "file"; readonly path: string };
      /** Presented when both files are there and usable. */
      readonly client: { readonly chainPath: string; readonly keyPath: string } | undefined;
      /** Limits of `COMPLIANCE_POLICY`. */
      readonly policy: TlsPolicy;
    };

export type TlsPolicy = "default" | "fips-140-2" | "fips-140-3" | "pqc";
