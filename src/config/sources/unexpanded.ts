// SPDX-License-Identifier: Apache-2.0
import type { Findings } from "../config-error.ts";
import { variables } from "./variables.ts";

/** What to do about `$(HOST_IP)`. */
export const setHostIp = "set it in the container, from status.hostIP";

/** Kubernetes leaves `$(NAME)` as it is where it knows no variable of that name. */
const reference = /\$\(([a-zA-Z_][\w.-]*)\)/g;

/** Their addresses may have `$(HOST_IP)`, which the agent replaces. */
const replaced: ReadonlySet<string> = new Set(["PROXY_CONFIG", "ISTIO_BOOTSTRAP_OVERRIDE"]);

/** Warns of the agent's variables whose values name a variable that was not expanded. */
export function warnOfUnexpanded(env: Readonly<Record<string, string>>, findings: Findings): void {
  for (const [name, value] of Object.entries(env)) {
    const isKnown = Object.hasOwn(variables, name) || name.startsWith("ISTIO_META_");
    if (!isKnown || !value.includes("$(")) continue;
    for (const [text, given = ""] of value.matchAll(reference)) {
      if (given === "HOST_IP" && replaced.has(name)) continue;
      findings.warn(name, `${text} was not expanded: define ${given} in the container before ${name}`);
    }
  }
}
