// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import type { TlsClientPolicy } from "../lib/net/tls-client.ts";
import type { Budgets } from "../model/limits.ts";
import type { ProvidedIdentityEvent } from "../model/provided-identity.ts";
import type { Secret, TrustBundle } from "../model/secret.ts";
import type { ResponseCheck, SigningRequest } from "../model/signing.ts";
import type { SpiffeId } from "../model/spiffe-id.ts";
import type { SpiffeSecretName } from "./spiffe-secrets.ts";
import type { RootFacts } from "./trust-roots.ts";

export type KeyAlgorithm =
  | { readonly kind: "rsa"; readonly bits: number }
  | { readonly kind: "ec"; readonly curve: "P-256" | "P-384" };

export interface CertConfig {
  readonly identity: SpiffeId;
  /**
   * Only certificates in the trust domain of `identity` are used. Otherwise the CA decides the trust domain, as istiod
   * does. `ATTACHE_STRICT_TRUST_DOMAIN`, default false.
   */
  readonly strictTrustDomain: boolean;
  readonly key: KeyAlgorithm;
  /** Render the key as PKCS#8 instead of PKCS#1 or SEC1. */
  readonly pkcs8: boolean;
  /** The validity to request from the CA. */
  readonly ttlMs: number;
  readonly rotation: RotationPolicy;
  /**
   * The agent exits when it has no valid certificate and the CA has rejected every attempt with PERMISSION_DENIED for
   * this long; 0 never exits. `ATTACHE_CA_REFUSED_EXIT_AFTER`, default 10 minutes.
   */
  readonly refusedExitAfterMs: number;
  /**
   * A directory, best in memory, that keeps the certificate in use over a restart of the agent; undefined keeps nothing.
   * `ATTACHE_IDENTITY_CACHE`
   */
  readonly cacheDirectory: string | undefined;
  /**
   * Files with an earlier certificate of this workload, which is served until the CA has issued one; undefined for none.
   * `PROV_CERT`
   */
  readonly provisioned: MountedIdentityPaths | undefined;
  /** Where the identity is also written as files; `OUTPUT_CERTS`. */
  readonly output: CertOutputConfig | undefined;
  /** Roots to trust as well as those of the certificate's source: `caCertificatesPem`, `caCertificates` */
  readonly anchors: readonly TrustAnchor[];
  /** Limits on TLS with the endpoints of SPIFFE bundles. */
  readonly bundlePolicy: TlsClientPolicy;
  /** Mounted roots by which the CA and the control plane are verified. */
  readonly rootFiles: readonly RootFile[];
  /** Over how long the renewals of a fleet are spread after its roots have changed. `ATTACHE_ROOT_CHANGE_SPREAD` */
  readonly rootSpreadMs: number;
  /** Further names of the own trust domain, for which its roots speak too. `trustDomainAliases` */
  readonly trustDomainAliases: readonly string[];
}

export interface RootFile {
  readonly path: string;
  /** Whether it is meant for the mesh's own roots: istiod's ConfigMap, the roots of a signer. */
  readonly isOfMesh: boolean;
  /** `FILE_DEBOUNCE_DURATION` */
  readonly debounceMs: number;
}

/** Roots of the mesh's configuration, or the URL of the SPIFFE bundle that has them. */
export type TrustAnchor = {
  /** The trust domains whose identities they verify; empty where none is named. */
  readonly trustDomains: readonly string[];
} & ({ readonly pem: string } | { readonly bundleUrl: string });

/** The files of one identity. */
export interface MountedIdentityPaths {
  readonly chainPath: string;
  readonly keyPath: string;
  readonly rootsPath: string;
}

export interface CertOutputConfig {
  readonly directory: string;
  /**
   * Mode of the key file. "for-readers": readers have other users, so 0640 where the directory hands its group on to new
   * files, as a volume of a pod with `fsGroup` does, else 0644.
   */
  readonly keyMode: number | "for-readers";
  /** Mode of the chain and root files. */
  readonly certificateMode: number;
}

export interface RotationPolicy {
  /** Share of the lifetime that is left when the certificate is renewed, 0 to 1. */
  readonly gracePeriodRatio: number;
  /** The largest random amount added to or subtracted from the ratio. */
  readonly gracePeriodRatioJitter: number;
  /**
   * The least random part of the delay, as a share of it, however small the jitter is: 0.1 is ±10 %. 0 where the
   * operator set the jitter.
   */
  readonly leastSpread: number;
  /** The least delay between two renewals, however short the certificate. */
  readonly floorMs: number;
}

/** Signs certificates; a client of any kind of CA fits. One call is one attempt: retrying is the renewer's task. */
export interface CertificateSigner {
  /**
   * Has a request signed.
   * @returns what `check` returns for the CA's response
   * @throws what `check` throws, or any error; the facts of a `CaError` are read from it where it has them
   */
  sign<T>(request: SigningRequest, check: ResponseCheck<T>, signal: AbortSignal): Promise<T>;
  /** Resolves when the cause of a failure may be gone, such as a replaced token file, or on abort. */
  untilChanged?(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the signer accepts connections again, or on abort; called after a failure to connect. It must cost
   * the signer no more than a connection.
   */
  untilReachable?(signal: AbortSignal): Promise<void>;
  /** What the signer has not done yet in a call that is under way, in one line. */
  describeWait?(): string | undefined;
  /** Whether the same request may be sent again while the first is pending: the signer keeps nothing of either. */
  readonly supportsHedging?: boolean;
}

/** Provides whole identities, key included, and renews them itself: mounted files, a SPIFFE agent. */
export interface IdentityProvider {
  /** For the status and the log. */
  readonly name: string;
  /** Yields each identity and each problem; during a problem the last good identity stays in use. */
  watch(signal: AbortSignal): AsyncIterable<ProvidedIdentityEvent>;
}

export interface CertDeps extends Deps {
  readonly budgets: Budgets;
  readonly hold: IdentityHold;
  /** Shows that renewal fails while the certificate in use is valid; the workload stays ready. */
  readonly renewalNote?: IdentityHold;
  readonly metrics: CertMetrics;
}

/** Keeps the workload from being ready while it has no valid certificate. */
export interface IdentityHold {
  set(detail: string): void;
  release(): void;
}

/** Must not throw. */
export interface CertMetrics {
  /**
   * An attempt ended.
   * @param outcome "ok", or the kind of failure: a small closed set
   * @param statusCode the status of the call, where there was one
   */
  signed(outcome: string, durationMs: number, statusCode?: string): void;
  /** The CA issued a certificate in another trust domain than before, or at first in another one than configured. */
  trustDomainChanged(): void;
}

/** The workload's identity as it changes. Disposing ends renewal; what was handed out stays valid. */
export interface CertStore extends AsyncDisposable {
  /** Yields the current secret as soon as there is one, then every other one, until the signal aborts. */
  watch(name: "default" | "ROOTCA", signal: AbortSignal): AsyncIterable<Secret>;
  /** As `watch`, under a name of SPIFFE. @throws SpiffeNameError */
  watchSpiffe(name: SpiffeSecretName, signal: AbortSignal): AsyncIterable<Secret>;
  status(): CertStatus;
  /** What a peer sees of the identity in use, without the key. */
  published(): PublishedIdentity;
  /** What is read only when somebody looks: the issuer of the certificate in use, and the trusted roots. */
  inspect(): CertInspection;
  /** Renews now. @returns why that is not possible; undefined if it is */
  renew(): string | undefined;
  /** Replaces the trust anchors of the configuration; unreadable ones are skipped. */
  setConfiguredAnchors(anchors: readonly TrustAnchor[]): void;
  /** Replaces the trust anchors that the mesh's control plane distributes; unreadable ones are skipped. */
  setMeshAnchors(pems: readonly string[], signal?: AbortSignal): Promise<void>;
}

/** The public part of the identity in use. */
export interface PublishedIdentity {
  /** Leaf first; undefined before the first certificate. */
  readonly chainPem: string | undefined;
  /** By which peers are verified; undefined before the first. */
  readonly trust: TrustBundle | undefined;
}

export interface CertInspection {
  /** The issuer's distinguished name on one line; undefined before the first certificate. */
  readonly issuer: string | undefined;
  readonly roots: readonly RootFacts[];
}

/** A snapshot for status pages and metrics. Times are milliseconds since the epoch. */
export interface CertStatus {
  readonly state: "none" | "valid" | "expired";
  /** Where certificates come from: "ca", or the provider's name. */
  readonly source: string;
  readonly spiffeId: string;
  /** Of the certificate in use; undefined before the first. */
  readonly serial: string | undefined;
  readonly notBeforeMs: number | undefined;
  readonly notAfterMs: number | undefined;
  /** When the next attempt is due. */
  readonly rotationDueMs: number | undefined;
  readonly rootsFirstExpiryMs: number | undefined;
  /** When a new root was received last. */
  readonly rootsSinceMs: number | undefined;
  readonly attempts: number;
  /** Certificates accepted so far. */
  readonly issued: number;
  readonly failuresInARow: number;
  /** Why the last attempt failed; undefined after a success. */
  readonly lastError: string | undefined;
  /** Since when every attempt has failed; undefined after a success. */
  readonly failingSinceMs: number | undefined;
  /** The last attempt that failed, also after a later success. */
  readonly lastFailure: { readonly atMs: number; readonly reason: string } | undefined;
  readonly lastSuccessMs: number | undefined;
  /** How far in the future the last certificate began: this machine's clock is behind by as much. */
  readonly clockSkewMs: number;
  /** The remaining lifetime threshold that the certificate passed without renewal, in percent: 50, 25 or 10. */
  readonly remainingLifetimePercent: number | undefined;
}
