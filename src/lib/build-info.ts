// SPDX-License-Identifier: Apache-2.0

/** Set by the build; absent when the sources run directly. */
declare const ATTACHE_BUILD: { readonly version: string; readonly revision: string } | undefined;

/** Version and commit of the build. */
export const buildInfo: { readonly version: string; readonly revision: string } =
  typeof ATTACHE_BUILD === "undefined" ? { version: "0.0.0-source", revision: "unknown" } : ATTACHE_BUILD;
