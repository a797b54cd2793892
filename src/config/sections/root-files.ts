// SPDX-License-Identifier: Apache-2.0
import { dirname, resolve } from "node:path";
import type { CaConfig, CaSecurity } from "../../ca/types.ts";
import type { CertConfig, RootFile } from "../../cert/types.ts";
import type { DiscoverySource, IdentitySource } from "../agent-config.ts";
import { type Sources, places } from "../sources/sources.ts";

/** What the files are found in. */
export interface RootFileUsers {
  readonly identity: IdentitySource;
  readonly ca: CaConfig;
  readonly cert: Pick<CertConfig, "output">;
  readonly xds: DiscoverySource;
}

/**
 * The mounted roots that change when the CA of the mesh does: those of the CA and of the control plane, and those that a
 * Kubernetes signer is configured with. Without the agent's own output, and none where a provider issues the identity.
 */
export function rootFiles({ env }: Sources, { identity, ca, cert, xds }: RootFileUsers): readonly RootFile[] {
  if (identity.kind !== "ca") return [];
  const fromXds = xds.kind === "ads" ? rootsOf(xds.proxy.upstream.security) : [];
  const debounceMs = env.durationMs("FILE_DEBOUNCE_DURATION");
  const found = [...fromCa(ca), ...fromXds].filter(({ path }) => resolve(dirname(path)) !== cert.output?.directory);
  return [...new Map(found.map((file) => [file.path, { ...file, debounceMs }])).values()];
}

type Found = Omit<RootFile, "debounceMs">;

function fromCa(ca: CaConfig): readonly Found[] {
  switch (ca.kind) {
    case "failover":
      return ca.sources.flatMap(fromCa);
    case "istio":
      return rootsOf(ca.security);
    case "kubernetes-csr":
      return [{ path: ca.rootsPath, isOfMesh: true }];
    case "embedded":
      return [];
    default:
      return rootsOf(ca.server.security);
  }
}

function rootsOf(security: CaSecurity): readonly Found[] {
  if (security.kind === "plaintext" || security.roots.kind === "system") return [];
  const { path } = security.roots;
  return [{ path, isOfMesh: path === places.root }];
}
