// SPDX-License-Identifier: Apache-2.0
import { runTasks, untilAborted } from "../lib/async/tasks.ts";
import { assertNever } from "../lib/errors.ts";
import { CauseFiles } from "../lib/fs/cause-files.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { createFailoverClient } from "./failover.ts";
import type { CaClient, CaConfig, CaDeps, CaProtocol, SingleCaConfig } from "./types.ts";

/** A client of the configured CA, or of the configured CAs in order. Loads only the protocols in use. */
export function createCaClient(config: CaConfig, deps: CaDeps): CaClient {
  const moduleDeps = { ...deps, log: deps.log.scope("ca") };
  if (config.kind !== "failover") return createSingleClient(config, moduleDeps);
  const members = config.sources.map((source) => ({
    name: source.kind,
    client: createSingleClient(source, moduleDeps),
  }));
  return createFailoverClient(members, config.switchAfterMs, moduleDeps);
}

/** Loads the protocol at the first call. This is the one place where a CA's response is checked. */
function createSingleClient(config: SingleCaConfig, deps: CaDeps): CaClient {
  // Istio's CA keeps nothing of a request; the others create objects or consume tokens.
  const isIstio = config.kind === "istio";
  let loading: Promise<CaProtocol> | undefined;
  let loaded: CaProtocol | undefined;
  const protocol = async (): Promise<CaProtocol> => (loaded = await (loading ??= loadProtocol(config, deps)));
  let files: CauseFiles | undefined;
  const causes = async (): Promise<CauseFiles> => (files ??= new CauseFiles((await protocol()).causeFiles, deps.clock));
  const untilReachable = async (signal: AbortSignal): Promise<void> =>
    (await protocol()).untilReachable?.(signal) ?? untilAborted(signal);
  return {
    supportsHedging: isIstio,
    sign: async (request, check, signal) => {
      await (await causes()).attemptBegins();
      const response = await (await protocol()).sign(request, signal);
      return check({ ...response, isAuthenticated: isAuthenticated(config) });
    },
    describeWait: () =>
      loaded?.describeWait?.() ??
      `the CA at ${addressOf(config)} has not responded yet; check that it runs, and that nothing drops its packets`,
    async untilChanged(signal) {
      const called = await protocol();
      const files = await causes();
      await runTasks(signal, [
        (either) => files.untilChanged(either),
        (either) => called.untilCredential?.(either) ?? untilAborted(either),
      ]);
    },
    // The embedded CA is in this process.
    ...(config.kind === "embedded" ? {} : { untilReachable }),
    async [Symbol.asyncDispose]() {
      if (loading !== undefined) await (await loading)[Symbol.asyncDispose]();
    },
  };
}

function addressOf(config: SingleCaConfig): string {
  if (config.kind === "embedded") return config.directory;
  return formatHostPort(config.kind === "istio" ? config : config.server);
}

/** Whether the CA's identity is verified: by its server certificate, or because it is this process. */
function isAuthenticated(config: SingleCaConfig): boolean {
  if (config.kind === "embedded") return true;
  return (config.kind === "istio" ? config.security : config.server.security).kind === "tls";
}

async function loadProtocol(config: SingleCaConfig, deps: CaDeps): Promise<CaProtocol> {
  switch (config.kind) {
    case "istio":
      return (await import("./istio-ca.ts")).createIstioCa(config, deps);
    case "vault":
      return (await import("./vault-ca.ts")).createVaultCa(config, deps);
    case "step":
      return (await import("./step-ca.ts")).createStepCa(config, deps);
    case "kubernetes-csr":
      return (await import("./kubernetes-csr.ts")).createKubernetesCsr(config, deps);
    case "embedded":
      return (await import("./embedded/in-process-ca.ts")).createInProcessCa(config, deps);
    default:
      return assertNever(config);
  }
}
