// SPDX-License-Identifier: Apache-2.0
import { closeName, suggestion } from "../../lib/nearest-name.ts";
import type { Findings } from "../config-error.ts";
import { variables } from "./variables.ts";

const ownPrefix = "ATTACHE_";
/** Whatever has this prefix becomes metadata of the node. */
const metaPrefix = "ISTIO_META_";
/** Kubernetes sets `NAME_SERVICE_HOST` and `NAME_PORT...` for each service of the namespace. */
const serviceLink = /_(SERVICE_(HOST|PORT)|PORT)(_|$)/;

/** Warns of names that mean nothing: those with the agent's prefix, and misspellings of other names. */
export function warnOfUnknownVariables(env: Readonly<Record<string, string>>, findings: Findings): void {
  const known = Object.keys(variables);
  for (const name of Object.keys(env)) {
    if (Object.hasOwn(variables, name)) continue;
    if (name.startsWith(ownPrefix)) {
      const own = known.filter((each) => each.startsWith(ownPrefix));
      findings.warn(name, `unknown variable; it is ignored${suggestion(name, own)}`);
      continue;
    }
    const meant = name.startsWith(metaPrefix) ? undefined : misspeltVariable(name, known);
    if (meant !== undefined) findings.warn(name, `is not a variable of the agent (did you mean ${meant}?)`);
  }
}

/**
 * The variable that an unknown name most likely means: one that begins with the same word. Variables of others have names
 * that are far from all of ours.
 */
export function misspeltVariable(name: string, known: Iterable<string>): string | undefined {
  const word = firstWord(name);
  if (word === "" || serviceLink.test(name)) return undefined;
  const near: string[] = [];
  for (const each of known) {
    if (each === name) return undefined;
    if (firstWord(each) === word) near.push(each);
  }
  return closeName(name, near);
}

/** `CA_` of `CA_ADDR`. */
function firstWord(name: string): string {
  return name.slice(0, name.indexOf("_") + 1);
}
