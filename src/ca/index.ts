// SPDX-License-Identifier: Apache-2.0
import { assertNever } from "../lib/errors.ts";
import type { CaClient, CaDeps } from "./ca-client.ts";
import type { CaConfig, CloudTokenConfig, SingleCaConfig } from "./ca-config.ts";
import type { EmbeddedCa, EmbeddedCaOptions } from "./embedded/embedded-ca-face.ts";
import { createFailoverClient } from "./failover.ts";
import type { WorkloadApiConfig, WorkloadApiEvent } from "./workload-api.ts";
import { createLazyClient } from "./lazy-client.ts";
import type { Token } from "./token.ts";

export type { WorkloadApiConfig, WorkloadApiEvent } from "./workload-api.ts";
export type { CaAnswer, CaClient, CaDeps, CaRequest } from "./ca-client.ts";
export type * from "./ca-config.ts";
export { CaError, type CaFailure } from "./ca-error.ts";
export type { DevelopmentTokenRequest, EmbeddedCa, EmbeddedCaOptions } from "./embedded/embedded-ca-face.ts";

/** A client of the CA, or of the CAs in order, that the configuration chose. Only what was chosen is loaded. */
export function createCaClient(config: CaConfig, deps: CaDeps): CaClient {
  const moduleDeps = { ...deps, log: deps.log.scope("ca") };
  if (config.kind !== "failover") return lazyClient(config, moduleDeps);
  const members = config.sources.map((source) => ({
    name: source.kind,
    client: lazyClient(source, moduleDeps),
  }));
  return createFailoverClient(members, config.switchAfterMs, moduleDeps);
}

/** Signing twice does no harm where nothing is kept of a request: the other kinds keep objects or spend tokens. */
function lazyClient(config: SingleCaConfig, deps: CaDeps): CaClient {
  const isIstio = config.kind === "istio";
  return createLazyClient(() => loadClient(config, deps), { mayBeAskedTwice: isIstio, canBeReached: isIstio });
}

async function loadClient(config: SingleCaConfig, deps: CaDeps): Promise<CaClient> {
  switch (config.kind) {
    case "istio":
      return (await import("./istio-ca.ts")).createIstioCaClient(config, deps);
    case "vault":
      return (await import("./vault-ca.ts")).createVaultClient(config, deps);
    case "step":
      return (await import("./step-ca.ts")).createStepClient(config, deps);
    case "kubernetes-csr":
      return (await import("./kubernetes-csr.ts")).createKubernetesCsrClient(config, deps);
    case "embedded":
      return (await import("./embedded/in-process.ts")).createInProcessClient(config, deps);
    default:
      return assertNever(config);
  }
}

/** Reads the machine's own token, kept as long as it is good; for whoever else it is shown to. */
export function createMachineToken(
  config: CloudTokenConfig,
  deps: Pick<CaDeps, "clock">,
): (signal: AbortSignal) => Promise<Token> {
  let read: ((signal: AbortSignal) => Promise<Token>) | undefined;
  return async (signal) => {
    read ??= (await import("./cloud-token.ts")).createCloudToken(config, deps);
    return read(signal);
  };
}

/** Who hands out the identity that a SPIFFE agent on this machine gives to this process. */
export function createWorkloadApi(
  config: WorkloadApiConfig,
  { clock }: Pick<CaDeps, "clock">,
): { readonly name: string; watch(signal: AbortSignal): AsyncIterable<WorkloadApiEvent> } {
  return {
    name: "spiffe",
    async *watch(signal) {
      const { watchWorkloadApi } = await import("./workload-api.ts");
      yield* watchWorkloadApi(config, clock, signal);
    },
  };
}

/**
 * Starts the embedded CA. Its libraries are loaded only now.
 * @throws AuthorityError when its folder or its port cannot be used
 */
export async function startEmbeddedCa(options: EmbeddedCaOptions, deps: CaDeps): Promise<EmbeddedCa> {
  const { startServing } = await import("./embedded/embedded-ca.ts");
  return startServing(options, deps);
}
