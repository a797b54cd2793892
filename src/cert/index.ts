// SPDX-License-Identifier: Apache-2.0
export { createCertStore } from "./cert-store.ts";
export { createFileSecrets, type FileSecretName, type FileSecrets, watchRevocationList } from "./file-secrets.ts";
export { createMountedIdentity } from "./provided-identity.ts";
export type { SpiffeSecretName } from "./spiffe-secrets.ts";
export type * from "./types.ts";
