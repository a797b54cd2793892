// SPDX-License-Identifier: Apache-2.0
import type { ConfigInput } from "../../config/index.ts";
import { annotationsPath, labelsPath, rootPath, tokenPath } from "../../config/index.ts";

/** Variables that only the environment of an agent has. */
const ownVariables = [
  "POD_NAME",
  "POD_NAMESPACE",
  "PROXY_CONFIG",
  "CA_ADDR",
  "TRUST_DOMAIN",
  "CA_ROOT_CA",
  "XDS_ROOT_CA",
];
export const ownPrefixes = ["ISTIO_META_", "ATTACHE_"];
const ownFiles = [tokenPath, rootPath, labelsPath, annotationsPath];

/** What an agent's environment is recognised by, for a person. */
export const lookedFor = `the variables ${ownVariables.join(", ")}, ${ownPrefixes.map((prefix) => `${prefix}*`).join(", ")}, and the files ${ownFiles.join(", ")}`;

/**
 * Whether this is the environment of an agent: a pod, a machine of the mesh, or a shell with its variables. On a laptop
 * there is none, and its absence is no fault.
 */
export function hasEnvironment({ env, args, readFile }: Pick<ConfigInput, "env" | "args" | "readFile">): boolean {
  return (
    args.length > 0 ||
    Object.keys(env).some(
      (name) => ownVariables.includes(name) || ownPrefixes.some((prefix) => name.startsWith(prefix)),
    ) ||
    ownFiles.some((path) => readFile(path).kind !== "absent")
  );
}
