// SPDX-License-Identifier: Apache-2.0
import { knownVariables } from "../../config/known-variables.ts";

const variables: ReadonlySet<string> = new Set([
  ...knownVariables(),
  ...["PATH", "HOME", "HOSTNAME", "LANG", "TZ", "TMPDIR", "PWD", "GOMAXPROCS"],
  // of Istio's images and of the agent itself
  ...["PROV_CERT", "ENVOY_LOG_LEVEL", "SIDECAR_SCOPE", "SKIP_VALIDATE_TRUST_DOMAIN"].map((key) => `ISTIO_META_${key}`),
]);

/** Whether the value of a variable is shown: only those that the agent reads are. */
export function isKnownVariable(name: string): boolean {
  return variables.has(name);
}

/** Whether a key of the node's metadata is one that the control plane knows. */
export function isKnownMetadata(key: string): boolean {
  return variables.has(`ISTIO_META_${key}`);
}

const annotations =
  /^(?:[a-z-]+\.)*istio\.io\/[\w.-]+$|^prometheus\.io\/[\w.-]+$|^kubectl\.kubernetes\.io\/default-container$/i;

/** Whether the value of an annotation is shown. Others may hold anything, whole manifests too. */
export function isKnownAnnotation(name: string): boolean {
  return annotations.test(name);
}
