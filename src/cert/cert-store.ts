// SPDX-License-Identifier: Apache-2.0
import { untilWallClock } from "../lib/async/clock.ts";
import { runTasks, startTask, type Task } from "../lib/async/tasks.ts";
import { formatSpiffeId } from "../model/spiffe-id.ts";
import { CertificateState } from "./certificate-state.ts";
import { inspectHeld } from "./inspection.ts";
import { MeshAnchors } from "./mesh-anchors.ts";
import { serveProvidedIdentity } from "./provided-identity.ts";
import { RenewalRequests } from "./renewal-requests.ts";
import { Renewer } from "./renewer.ts";
import type { RootFilesOptions } from "./root-files.ts";
import type { CertConfig, CertDeps, CertificateSigner, CertStore, IdentityProvider } from "./types.ts";

const refreshMs = 1_000;

/**
 * Owns the workload's identity: obtains a certificate, renews it in time whether or not it is watched, and keeps the one
 * in use through every failure. Starts at once; disposing it ends it.
 * @param source signs requests, or provides whole identities
 */
export function createCertStore(
  config: CertConfig,
  source: CertificateSigner | IdentityProvider,
  deps: CertDeps,
): CertStore {
  const moduleDeps: CertDeps = { ...deps, log: deps.log.scope("cert") };
  const spiffeId = formatSpiffeId(config.identity);
  const state = new CertificateState(spiffeId, nameOf(source), moduleDeps, ownDomainsOf(config, source));
  const requests = new RenewalRequests();
  const anchors = new MeshAnchors({ config, state, requests }, moduleDeps);
  const task = startTask(
    (stop) => runStore({ config, source, state, requests, anchors, deps: moduleDeps }, stop),
    deps.fail,
  );
  return {
    watch: (name, signal) => state.held[name].watch(signal),
    async *watchSpiffe(name, signal) {
      const { watchSpiffeSecret } = await import("./spiffe-secrets.ts");
      yield* watchSpiffeSecret(name, state.held, signal);
    },
    status: () => state.status(),
    published() {
      const { default: certificate, ROOTCA: roots } = state.held;
      return {
        chainPem: certificate.current?.kind === "certificate" ? certificate.current.chainPem : undefined,
        trust: roots.current?.kind === "trust-bundle" ? roots.current : undefined,
      };
    },
    inspect: () => inspectHeld(state.held),
    renew() {
      if (!("sign" in source)) return `certificates are issued and renewed by their provider (${source.name})`;
      requests.request(deps.clock.monotonicMs());
      return undefined;
    },
    setMeshAnchors: (pems, signal) => anchors.distribute(pems, signal),
    setConfiguredAnchors(configured) {
      anchors.configure(configured);
    },
    [Symbol.asyncDispose]: () => task[Symbol.asyncDispose](),
  };
}

function nameOf(source: CertificateSigner | IdentityProvider): string {
  return "sign" in source ? "ca" : source.name;
}

/** The trust domain of a provided identity is the provider's to decide, whatever is configured. */
function ownDomainsOf(
  { identity, trustDomainAliases }: CertConfig,
  source: CertificateSigner | IdentityProvider,
): readonly string[] {
  return "sign" in source ? [identity.trustDomain, ...trustDomainAliases] : trustDomainAliases;
}

interface Store {
  readonly config: CertConfig;
  readonly source: CertificateSigner | IdentityProvider;
  readonly state: CertificateState;
  readonly requests: RenewalRequests;
  readonly anchors: MeshAnchors;
  readonly deps: CertDeps;
}

async function runStore({ config, source, state, requests, anchors, deps }: Store, stop: AbortSignal): Promise<void> {
  const { cacheDirectory, output, provisioned, key, strictTrustDomain } = config;
  const tasks: Task[] = [(signal) => refreshState(state, deps, signal), (signal) => anchors.followBundles(signal)];
  if (output !== undefined) {
    const { writeOutput } = await import("./cert-output.ts");
    tasks.push((signal) => writeOutput(output, state.held, deps, signal));
  }
  if ("sign" in source) {
    const expected = { spiffeId: formatSpiffeId(config.identity), key, strictTrustDomain };
    let firstAtMs: number | undefined;
    if (cacheDirectory !== undefined) {
      const { restoreIdentity, writeCache } = await import("./identity-cache.ts");
      restoreIdentity(cacheDirectory, state, expected, deps);
      tasks.push((signal) => writeCache(cacheDirectory, expected.spiffeId, state.held, deps, signal));
    }
    if (provisioned !== undefined && !state.isValid) {
      const { serveProvisioned } = await import("./provisioned-identity.ts");
      await serveProvisioned(provisioned, state, expected, deps);
      firstAtMs = deps.clock.now();
    }
    tasks.push((signal) => new Renewer(config, { signer: source, requests }, state, deps).run(signal, firstAtMs));
    if (config.rootFiles.length > 0) tasks.push((signal) => followRoots({ config, state, requests }, deps, signal));
  } else tasks.push((signal) => serveProvidedIdentity(source, state, deps, signal));
  await runTasks(stop, tasks);
}

/** Loaded beside the first request for a certificate. */
async function followRoots(options: RootFilesOptions, deps: CertDeps, signal: AbortSignal): Promise<void> {
  const { followRootFiles } = await import("./root-files.ts");
  await followRootFiles(options, deps, signal);
}

/** Applies what changes with time alone, each second and at the moment of a known change. */
async function refreshState(state: CertificateState, { clock }: CertDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    state.refresh();
    const nowMs = clock.now();
    await untilWallClock(clock, Math.min(nowMs + refreshMs, state.held.nextChangeMs(nowMs)), signal);
  }
}
