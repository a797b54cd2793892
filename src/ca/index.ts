// SPDX-License-Identifier: Apache-2.0
import type { EmbeddedCa, EmbeddedCaOptions } from "./embedded/embedded-ca-face.ts";
import type { CaConfig } from "./ca-config.ts";
import { type CaDeps, type CaClient, createIstioCaClient } from "./istio-ca.ts";

export type { CaConfig, CaSecurity, IstioCaConfig, TlsPolicy } from "./ca-config.ts";
export { CaError, type CaFailure } from "./ca-error.ts";
export type { DevelopmentTokenRequest, EmbeddedCa, EmbeddedCaOptions } from "./embedded/embedded-ca-face.ts";
export type { CaAnswer, CaDeps, CaClient } from "./istio-ca.ts";

/** A client of the CA that the configuration chose. */
export function createCaClient(config: CaConfig, deps: CaDeps): CaClient {
  return createIstioCaClient(config, { ...deps, log: deps.log.scope("ca") });
}

/**
 * Starts the embedded CA. Its libraries are loaded only now.
 * @throws AuthorityError when its folder or its port cannot be used
 */
export async function startEmbeddedCa(options: EmbeddedCaOptions, deps: CaDeps): Promise<EmbeddedCa> {
  const { startServing } = await import("./embedded/embedded-ca.ts");
  return startServing(options, deps);
}
