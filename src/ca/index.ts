// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ProvidedIdentityEvent } from "../model/provided-identity.ts";
import type { ReadToken } from "../model/token.ts";
import type { DevelopmentTokenRequest, EmbeddedCa, EmbeddedCaOptions } from "./embedded/types.ts";
import type { CaProbe, CaProbeOptions } from "./probe.ts";
import type { CaDeps, CloudTokenConfig, SingleCaConfig } from "./types.ts";
import type { WorkloadApiConfig } from "./workload-api.ts";

export { createCaClient } from "./ca-client.ts";
export { CaError, type CaFailure } from "./ca-error.ts";
export type { DevelopmentTokenRequest, EmbeddedCa, EmbeddedCaOptions } from "./embedded/types.ts";
export type { CaProbe } from "./probe.ts";
export type * from "./types.ts";
export type { WorkloadApiConfig } from "./workload-api.ts";

/** Reads the machine's identity token from its cloud's metadata server, and keeps it while it is fresh. */
export function createMachineToken(config: CloudTokenConfig, deps: Pick<CaDeps, "clock" | "budgets">): ReadToken {
  let read: ReadToken | undefined;
  return async (signal) => {
    read ??= (await import("./bearer-token.ts")).createCloudToken(config, deps);
    return read(signal);
  };
}

/** Asks a CA whether it accepts the workload's credentials, without any effect. @throws the signal's reason */
export async function probeCa(
  config: SingleCaConfig,
  options: CaProbeOptions,
  deps: Pick<CaDeps, "clock" | "budgets">,
  signal: AbortSignal,
): Promise<CaProbe> {
  return await (await import("./probe.ts")).probeCa(config, options, deps, signal);
}

/** Provides the identity that the SPIFFE agent on this machine issues to this process. */
export function createWorkloadApi(
  config: WorkloadApiConfig,
  deps: Pick<CaDeps, "clock" | "budgets">,
): { readonly name: string; watch(signal: AbortSignal): AsyncIterable<ProvidedIdentityEvent> } {
  return {
    name: "spiffe",
    async *watch(signal) {
      const { watchWorkloadApi } = await import("./workload-api.ts");
      yield* watchWorkloadApi(config, deps, signal);
    },
  };
}

/**
 * Starts the embedded CA, and loads its libraries only now.
 * @throws AuthorityError when its directory or its port cannot be used
 */
export async function startEmbeddedCa(options: EmbeddedCaOptions, deps: CaDeps): Promise<EmbeddedCa> {
  const { serveEmbeddedCa } = await import("./embedded/embedded-ca.ts");
  return serveEmbeddedCa(options, deps);
}

/**
 * A token that the embedded CA of this directory accepts, also while it runs.
 * @throws AuthorityError when there is no such CA
 */
export async function mintDevelopmentToken(
  directory: string,
  request: Required<DevelopmentTokenRequest>,
  clock: Pick<Clock, "now">,
): Promise<string> {
  const { readExistingAuthority } = await import("./embedded/authority.ts");
  const { issueToken } = await import("./embedded/signing-service.ts");
  return issueToken(readExistingAuthority(directory, clock.now()).tokenKey, request, clock.now());
}
