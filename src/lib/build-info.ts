// SPDX-License-Identifier: Apache-2.0

/** Put in by the build; absent when the sources run as they are. */
declare const ATTACHE_BUILD: { readonly version: string; readonly revision: string } | undefined;

/** What was built, from what. */
export const buildInfo: { readonly version: string; readonly revision: string } =
  typeof ATTACHE_BUILD === "undefined" ? { version: "0.0.0-source", revision: "unknown" } : ATTACHE_BUILD;
