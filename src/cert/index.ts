// SPDX-License-Identifier: Apache-2.0
export { createCertStore } from "./cert-store.ts";
export type { CertDeps, CertMetrics, CertStatus, CertStore, IdentityHold } from "./cert-store-face.ts";
export type { CertConfig, CertOutputConfig, KeyAlgorithm, RotationPolicy } from "./cert-config.ts";
export type { IdentityProvider } from "./identity-provider.ts";
export type { CertificateSigner } from "./signer.ts";
export { createFileSecrets, type FileSecretName, type FileSecrets } from "./file-secrets.ts";
export { createMountedIdentity } from "./mounted-identity.ts";
export { watchRevocationList } from "./revocation-list.ts";
