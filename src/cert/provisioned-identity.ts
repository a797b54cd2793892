// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { readText } from "./cert-files.ts";
import type { CertificateState } from "./certificate-state.ts";
import { CertFileError } from "./errors.ts";
import { checkStored } from "./identity-cache.ts";
import type { CertDeps, MountedIdentityPaths } from "./types.ts";

/**
 * Serves the certificate with which a machine was provisioned, when it is this workload's and valid, so that the machine
 * is not without one while the CA refuses or is away. The next one is requested at once all the same.
 */
export async function serveProvisioned(
  { chainPath, keyPath, rootsPath }: MountedIdentityPaths,
  state: CertificateState,
  expected: { readonly spiffeId: string; readonly strictTrustDomain: boolean },
  deps: CertDeps,
): Promise<void> {
  const { clock, log, budgets } = deps;
  try {
    const [chainPem = "", keyPem = "", rootsPem = ""] = await Promise.all(
      [chainPath, keyPath, rootsPath].map((path) => readText(path, budgets)),
    );
    const identity = checkStored({ chainPem, keyPem, rootsPem }, expected, deps);
    state.accept({ ...identity, acceptedMs: clock.now() });
    const { serial } = identity.certificate;
    log.info("provisioned certificate is used until the CA issues one", { serial, path: chainPath });
  } catch (error) {
    // Before the first certificate a machine has only the root there.
    const level = error instanceof CertFileError ? "debug" : "info";
    log[level]("provisioned certificate is not served", { path: chainPath, reason: describeError(error) });
  }
}
