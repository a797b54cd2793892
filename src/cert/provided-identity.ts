// SPDX-License-Identifier: Apache-2.0
import type { Budgets } from "../model/limits.ts";
import type { FederatedRoots, OtherIdentity, ProvidedIdentity } from "../model/provided-identity.ts";
import type { WorkloadCertificate } from "../model/secret.ts";
import { type FileFollowOptions, followFiles, readTexts } from "./cert-files.ts";
import type { CertificateState, CheckedIdentity, FederatedRootsRead } from "./certificate-state.ts";
import { findPath } from "./certification-path.ts";
import { ResponseError } from "./errors.ts";
import { readRoots } from "./read-certificate.ts";
import { checkPair, maxSkewMs } from "./response-check.ts";
import type { CertDeps, IdentityProvider, MountedIdentityPaths } from "./types.ts";

/** Provides the identity in three files that another process renews. A half-written state is followed by a good one. */
export function createMountedIdentity(paths: MountedIdentityPaths, options: FileFollowOptions): IdentityProvider {
  return {
    name: "files",
    async *watch(signal) {
      const { chainPath, keyPath, rootsPath } = paths;
      const read = (files: readonly string[]): Promise<readonly string[]> => readTexts(files, options.budgets);
      const files = { paths: [chainPath, keyPath, rootsPath], read, parse: identityOf };
      for await (const read of followFiles(files, options, signal)) {
        if ("value" in read) yield { kind: "identity", identity: read.value };
        else yield { kind: "problem", error: read.error };
      }
    },
  };
}

function identityOf([chainPem = "", keyPem = "", rootsPem = ""]: readonly string[]): ProvidedIdentity {
  return { chainPem, keyPem, rootsPem };
}

/** Serves what a provider provides, until the signal aborts. An unusable identity is reported; the last good one stays. */
export async function serveProvidedIdentity(
  provider: IdentityProvider,
  state: CertificateState,
  deps: CertDeps,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of provider.watch(signal)) {
    if (signal.aborted) return;
    state.attemptStarted();
    try {
      if (event.kind === "problem") throw event.error;
      acceptProvided(event.identity, state, deps);
      deps.metrics.signed("ok", 0);
    } catch (error) {
      deps.metrics.signed("unusable", 0);
      const isMissing = event.kind === "problem";
      const message = isMissing ? "no identity was provided; retrying" : "provided identity rejected; retrying";
      state.failed(error, message, { source: provider.name });
    }
  }
}

/** An identity that is served already only brings its roots, even if it does not lead to them: the provider drops a root. */
function acceptProvided(identity: ProvidedIdentity, state: CertificateState, { clock, budgets }: CertDeps): void {
  const nowMs = clock.now();
  const newest = state.held.newest?.certificate;
  const isServed = newest?.chainPem === identity.chainPem && newest.keyPem === identity.keyPem;
  const checked = checkProvided(identity, { nowMs, budgets, pair: isServed ? "unchanged" : "new" });
  if (isServed) state.acceptRoots(checked);
  else state.accept(checked);
  state.held.setOthers((identity.others ?? []).flatMap((other) => readOther(other, budgets)));
}

/**
 * Checks what a provider may have got wrong: the identity can be parsed, is a pair with one SPIFFE ID, is valid now, and,
 * when the pair is new, leads to one of its roots by the path that peers take. The provider alone decides which roots are
 * trusted; a root that it drops is dropped at once.
 * @throws ResponseError
 */
export function checkProvided(
  { chainPem, keyPem, rootsPem, federated }: ProvidedIdentity,
  { nowMs, budgets, pair }: { readonly nowMs: number; readonly budgets: Budgets; readonly pair: "new" | "unchanged" },
): CheckedIdentity {
  const { leaf, intermediates, spiffeId } = checkPair(chainPem, keyPem, budgets);
  if (spiffeId === "") {
    throw new ResponseError("wrong-identity", "the certificate must name one SPIFFE ID and no other URI");
  }
  const { notBeforeMs, notAfterMs } = leaf;
  if (notAfterMs <= nowMs) {
    throw new ResponseError("expired", `the certificate expired at ${new Date(notAfterMs).toISOString()}`);
  }
  if (notBeforeMs > nowMs + maxSkewMs) {
    throw new ResponseError("not-yet-valid", `the certificate begins at ${new Date(notBeforeMs).toISOString()}`);
  }
  const roots = readRoots(rootsPem, budgets.of("ca-roots"));
  if (roots.length === 0) throw new ResponseError("malformed", "it has no root certificate that can be parsed");
  if (pair === "new") findPath(leaf, intermediates, roots, { nowMs, maxSkewMs, search: "as-given" });
  const certificate = { chainPem, keyPem, spiffeId, serial: leaf.x509.serialNumber, notBeforeMs, notAfterMs };
  return { certificate, roots, federated: readFederated(federated ?? [], budgets), keepRootsMs: 0, acceptedMs: nowMs };
}

/** An identity that is not usable is left out: no client may have asked for it. */
function readOther({ chainPem, keyPem }: OtherIdentity, budgets: Budgets): readonly WorkloadCertificate[] {
  try {
    const { leaf, spiffeId } = checkPair(chainPem, keyPem, budgets);
    const { notBeforeMs, notAfterMs } = leaf;
    return [{ chainPem, keyPem, spiffeId, serial: leaf.x509.serialNumber, notBeforeMs, notAfterMs }];
  } catch {
    return [];
  }
}

function readFederated(all: readonly FederatedRoots[], budgets: Budgets): FederatedRootsRead {
  const read = (isSelected: boolean) =>
    all
      .filter((one) => one.isSelected === isSelected)
      .flatMap(({ trustDomain, rootsPem }) =>
        readRoots(rootsPem, budgets.of("ca-roots")).map((root) => ({ root, trustDomain })),
      );
  return { selected: read(true), others: read(false) };
}
