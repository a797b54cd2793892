// SPDX-License-Identifier: Apache-2.0
import type {
  CertificateSigner,
  CertStatus,
  CertStore,
  FileSecretName,
  FileSecrets,
  IdentityProvider,
  SpiffeSecretName,
} from "../cert/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { startTask } from "../lib/async/tasks.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { isServed, type UnixListener } from "../lib/net/unix-socket.ts";
import type { Readiness } from "../model/readiness.ts";
import type { Secret } from "../model/secret.ts";
import type { StartPhases } from "./lifecycle.ts";
import { followMeshFile } from "./mesh-file.ts";
import type { ModuleMetrics } from "./metrics.ts";
import type { ModuleDeps } from "./types.ts";

export interface IdentityOptions {
  readonly config: AgentConfig;
  readonly holds: Readiness;
  readonly phases: StartPhases;
  readonly metrics: ModuleMetrics;
}

/** The workload's identity as other modules use it. */
export interface Identity {
  /** Undefined if another process serves the workload certificate. */
  readonly certs: CertStore | undefined;
  /** Undefined if another process serves the workload certificate. */
  status(): CertStatus | undefined;
  /** Replaces the trust anchors that the control plane distributes; an empty list removes them. */
  setMeshAnchors(pems: readonly string[], signal: AbortSignal): Promise<void>;
  /** Renews the certificate now, and logs that. @returns why that is not possible; undefined if it is */
  renew(cause: string): string | undefined;
  /** Makes readiness wait for the certificate: a client has requested it. In strict mode it waits from the start. */
  certificateRequested(): void;
}

/** Starts to obtain the workload's certificate, for SDS and for files. What it starts goes to `modules`. */
export async function startIdentity(
  { config, holds, phases, metrics }: IdentityOptions,
  modules: AsyncDisposableStack,
  deps: ModuleDeps,
): Promise<Identity> {
  const { createCertStore } = await import("../cert/index.ts");
  const source = await createIdentitySource(config, modules, deps);
  let isRequested = config.status.readiness === "strict";
  const createStore = (given: CertificateSigner | IdentityProvider): CertStore => {
    const hold = modules.use(holds.hold("identity", "no certificate requested yet", () => isRequested));
    const certMetrics: ModuleMetrics["cert"] = {
      signed(outcome, durationMs, statusCode) {
        if (outcome === "ok") phases.end("certificate received");
        metrics.cert.signed(outcome, durationMs, statusCode);
      },
      trustDomainChanged() {
        metrics.cert.trustDomainChanged();
      },
    };
    const renewalNote = modules.use(holds.note("renewal", "no attempt has failed"));
    renewalNote.release();
    return modules.use(createCertStore(config.cert, given, { ...deps, hold, renewalNote, metrics: certMetrics }));
  };
  const certs = source === undefined ? undefined : createStore(source);
  const { meshFile } = config.certFiles;
  if (certs !== undefined && meshFile !== undefined) followMeshFile(meshFile, config, certs, modules, deps);
  return {
    certs,
    status: () => certs?.status(),
    async setMeshAnchors(pems, signal) {
      await certs?.setMeshAnchors(pems, signal);
    },
    renew(cause) {
      const problem = certs === undefined ? "another process serves the workload certificate" : certs.renew();
      if (problem === undefined) deps.log.info("renewal of the certificate requested", { cause });
      else deps.log.warn("certificate not renewed on request", { cause, problem });
      return problem;
    },
    certificateRequested() {
      isRequested = true;
    },
  };
}

/** @returns undefined when another process serves Envoy's certificate */
async function createIdentitySource(
  { identity, ca, certFiles }: AgentConfig,
  modules: AsyncDisposableStack,
  deps: ModuleDeps,
): Promise<CertificateSigner | IdentityProvider | undefined> {
  switch (identity.kind) {
    case "ca": {
      const { createCaClient } = await import("../ca/index.ts");
      return modules.use(createCaClient(ca, deps));
    }
    case "mounted-files": {
      const { createMountedIdentity } = await import("../cert/index.ts");
      const { clock, budgets } = deps;
      return createMountedIdentity(identity, { clock, budgets, debounceMs: certFiles.debounceMs });
    }
    case "workload-api": {
      const { createWorkloadApi } = await import("../ca/index.ts");
      return createWorkloadApi(identity, deps);
    }
    case "external-sds":
      return undefined;
  }
}

/** Serves the workload's secrets and those in files to Envoy over SDS. What it starts goes to `modules`. */
export async function serveSecrets(
  socket: UnixListener,
  identity: Identity,
  { config, phases, metrics }: IdentityOptions,
  modules: AsyncDisposableStack,
  deps: ModuleDeps,
): Promise<void> {
  const { createFileSecrets, watchRevocationList } = await import("../cert/index.ts");
  const { serveSds } = await import("../sds/index.ts");
  const { clock, budgets } = deps;
  const fileDeps = { clock, budgets, debounceMs: config.certFiles.debounceMs, log: deps.log.scope("cert") };
  const files = createFileSecrets({ ...fileDeps, metrics: metrics.files });
  const { crlPath } = config.sds;
  modules.use(
    serveSds(socket, createSecretSource(identity.certs, files), config.sds, {
      ...deps,
      metrics: metrics.agent.sds,
      crl: crlPath === undefined ? undefined : { watch: (signal) => watchRevocationList(crlPath, fileDeps, signal) },
      onEvent(event) {
        if (event.kind === "subscribed") identity.certificateRequested();
        if (event.kind === "accepted" && isCertificate(event.resource)) phases.end("certificate in Envoy");
      },
    }),
  );
  phases.end("SDS served");
}

/** Whether it is the SDS name of a certificate of this workload. */
function isCertificate(name: string): boolean {
  return name === "default" || /^spiffe:\/\/[^/]+\//.test(name);
}

type RequestedName =
  | { readonly kind: "workload-certificate" | "trust-bundle"; readonly text: string }
  | SpiffeSecretName
  | (FileSecretName & { readonly text: string });

/** The workload's own names come from the certificate store, all others from files. */
function createSecretSource(
  certs: CertStore | undefined,
  files: FileSecrets,
): { watch(name: RequestedName, signal: AbortSignal): AsyncIterable<Secret> } {
  const storeFor = (text: string): CertStore => {
    if (certs !== undefined) return certs;
    throw new Error(`${text} is served on the workload identity socket of another process`);
  };
  return {
    watch(name, signal) {
      switch (name.kind) {
        case "workload-certificate":
          return storeFor(name.text).watch("default", signal);
        case "trust-bundle":
          return storeFor(name.text).watch("ROOTCA", signal);
        case "spiffe-certificate":
        case "spiffe-roots":
        case "all-roots":
          return storeFor(name.text).watchSpiffe(name, signal);
        default:
          return files.watch(name, signal);
      }
    },
  };
}

const externalCheckEveryMs = 5_000;

/**
 * Checks whether the process that serves Envoy's certificate still listens, and logs changes. Readiness does not depend
 * on it: Envoy keeps its certificate and reconnects by itself.
 */
export function watchExternalSds(
  identity: AgentConfig["identity"],
  metrics: ModuleMetrics,
  modules: AsyncDisposableStack,
  { log, clock, fail }: ModuleDeps,
): void {
  if (identity.kind !== "external-sds") return;
  const { socketPath } = identity;
  const { up } = metrics.agent.externalSds;
  up.set(1);
  const watch = async (signal: AbortSignal): Promise<void> => {
    using outage = new OutageLog(log, clock, { recovered: "external SDS server is up again" });
    while (!signal.aborted) {
      await clock.delay(externalCheckEveryMs, signal);
      const isUp = await isServed(socketPath);
      up.set(isUp ? 1 : 0);
      const message = "external SDS server is down; the certificate is not renewed";
      if (isUp) outage.works({ socketPath });
      else outage.failed({ level: "warn", message, fields: { socketPath } });
    }
  };
  modules.use(startTask(watch, fail));
}
