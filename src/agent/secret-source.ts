// SPDX-License-Identifier: Apache-2.0
import type { FileSecretName } from "../cert/index.ts";
import type { Secret } from "../model/secret.ts";

interface WorkloadSecrets {
  watch(name: "default" | "ROOTCA", signal: AbortSignal): AsyncIterable<Secret>;
}

interface FileSecrets {
  watch(name: FileSecretName, signal: AbortSignal): AsyncIterable<Secret>;
}

type AskedName =
  | { readonly kind: "workload-certificate" | "trust-bundle"; readonly text: string }
  | (FileSecretName & { readonly text: string });

/**
 * Joins SDS to the owners of secrets: the workload's own names to the certificate store, files to their followers.
 * @param workload undefined when another process serves the workload's own names
 */
export function createSecretSource(
  workload: WorkloadSecrets | undefined,
  files: FileSecrets,
): { watch(name: AskedName, signal: AbortSignal): AsyncIterable<Secret> } {
  return {
    watch(name, signal) {
      switch (name.kind) {
        case "workload-certificate":
          return workload?.watch("default", signal) ?? notHere(name.text);
        case "trust-bundle":
          return workload?.watch("ROOTCA", signal) ?? notHere(name.text);
        default:
          return files.watch(name, signal);
      }
    },
  };
}

function notHere(name: string): never {
  throw new Error(`${name} is served by the workload identity socket of another process, not here`);
}
