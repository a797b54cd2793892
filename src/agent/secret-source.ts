// SPDX-License-Identifier: Apache-2.0
import type { Secret } from "../model/secret.ts";

interface WorkloadSecrets {
  watch(name: "default" | "ROOTCA", signal: AbortSignal): AsyncIterable<Secret>;
}

interface AskedName {
  readonly kind: string;
  readonly text: string;
}

/** Joins SDS to the owners of secrets: the workload's own names to the certificate store, files to nobody yet. */
export function createSecretSource(workload: WorkloadSecrets): {
  watch(name: AskedName, signal: AbortSignal): AsyncIterable<Secret>;
} {
  return {
    watch(name, signal) {
      switch (name.kind) {
        case "workload-certificate":
          return workload.watch("default", signal);
        case "trust-bundle":
          return workload.watch("ROOTCA", signal);
        default:
          throw new Error(`${name.text} is not served here`);
      }
    },
  };
}
