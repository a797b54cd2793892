// SPDX-License-Identifier: Apache-2.0

/** Put in by the build; not there when the source runs as it is. */
declare const ATTACHE_BUILD: { readonly version: string; readonly revision: string } | undefined;

const build = typeof ATTACHE_BUILD === "undefined" ? { version: "0.0.0-source", revision: "unknown" } : ATTACHE_BUILD;

/** This program's version and the commit that it was built from. */
export const { version, revision } = build;

/**
 * The version of Istio whose agent this one stands in for: control planes read it from the node's metadata and adapt
 * what they send.
 */
export const istioVersion = "1.32.0";
