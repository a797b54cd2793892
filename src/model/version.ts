// SPDX-License-Identifier: Apache-2.0

/** This program's version. The build replaces it by that of package.json. */
export const version = "0.1.0";

/**
 * The version of Istio whose agent this one stands in for: control planes read it from the node's metadata and adapt
 * what they send.
 */
export const istioVersion = "1.32.0";
