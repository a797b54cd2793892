// SPDX-License-Identifier: Apache-2.0
import { type FileFollowOptions, followFiles, readTexts } from "./cert-files.ts";
import type { ProvidedIdentity } from "../model/provided-identity.ts";
import type { IdentityProvider } from "./identity-provider.ts";

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
      const files = { paths: [chainPath, keyPath, rootsPath], read: readTexts, parse: identityOf };
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
