// SPDX-License-Identifier: Apache-2.0
import { buildInfo } from "../lib/build-info.ts";

/** This program's version and the commit that it was built from. */
export const { version, revision } = buildInfo;

/**
 * The version of Istio whose agent this one replaces: control planes read it from the node's metadata and adapt
 * what they send.
 */
export const istioVersion = "1.32.0";
