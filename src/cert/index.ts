// SPDX-License-Identifier: Apache-2.0
export { createCertStore } from "./cert-store.ts";
export { createFileSecrets, type FileSecretName, type FileSecrets, watchRevocationList } from "./file-secrets.ts";
export { createMountedIdentity } from "./provided-identity.ts";
export type { SpiffeSecretName } from "./spiffe-secrets.ts";
export type * from "./types.ts";

export type { ReadCertificate } from "./read-certificate.ts";
export type ChainChecks = typeof import("./chain-checks.ts");

/** Loads the checks of chains, for commands. */
export async function loadChainChecks(): Promise<ChainChecks> {
  return await import("./chain-checks.ts");
}
