// SPDX-License-Identifier: Apache-2.0
import { type FileFollowOptions, followFiles, readText } from "./cert-files.ts";
import type { IdentityProvider, ProvidedIdentity } from "./identity-provider.ts";

export interface MountedIdentityPaths {
  readonly chainPath: string;
  readonly keyPath: string;
  readonly rootsPath: string;
}

/** An identity in three files that somebody else keeps up to date. Half-written states are waited out. */
export function createMountedIdentity(paths: MountedIdentityPaths, options: FileFollowOptions): IdentityProvider {
  return {
    name: "files",
    async *watch(signal) {
      const { chainPath, keyPath, rootsPath } = paths;
      const all = [chainPath, keyPath, rootsPath];
      for await (const read of followFiles(all, () => readIdentity(paths), contentOf, options, signal)) {
        if ("value" in read) yield { kind: "identity", identity: read.value };
        else yield { kind: "problem", error: read.error };
      }
    },
  };
}

async function readIdentity({ chainPath, keyPath, rootsPath }: MountedIdentityPaths): Promise<ProvidedIdentity> {
  return {
    chainPem: await readText(chainPath),
    keyPem: await readText(keyPath),
    rootsPem: await readText(rootsPath),
  };
}

function contentOf({ chainPem, keyPem, rootsPem }: ProvidedIdentity): string {
  return chainPem + keyPem + rootsPem;
}
