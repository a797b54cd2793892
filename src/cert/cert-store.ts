// SPDX-License-Identifier: Apache-2.0
import { runTasks, startTask, type Task } from "../lib/async/tasks.ts";
import { formatSpiffeId } from "../model/spiffe-id.ts";
import type { CertConfig } from "./cert-config.ts";
import type { CertDeps, CertStore } from "./cert-store-face.ts";
import { IdentityBook } from "./identity-book.ts";
import type { IdentityProvider } from "./identity-provider.ts";
import { Issuing } from "./issuing.ts";
import { readRoots, runProviding } from "./providing.ts";
import type { CertificateSigner } from "./signer.ts";
import { untilWallClock } from "./wall-clock.ts";

/**
 * The one owner of the workload's identity: gets a certificate, renews it in time whether anybody watches or not, and
 * keeps the one in use through every failure. Starts at once; disposing it ends it.
 * @param source signs requests, or provides whole identities
 */
export function createCertStore(
  config: CertConfig,
  source: CertificateSigner | IdentityProvider,
  deps: CertDeps,
): CertStore {
  const moduleDeps: CertDeps = { ...deps, log: deps.log.scope("cert") };
  const spiffeId = formatSpiffeId(config.identity);
  const book = new IdentityBook(spiffeId, "sign" in source ? "ca" : source.name, moduleDeps);
  const extra = readRoots(config.extraRootsPem.join("\n"));
  if (extra.length > 0) book.held.setAnchors(extra);
  const task = startTask((stop) => runStore({ config, source, book, deps: moduleDeps }, stop), deps.fail);
  return {
    watch: (name, signal) => book.held[name].watch(signal),
    status: () => book.status(),
    setMeshAnchors(pems) {
      const anchors = readRoots([...config.extraRootsPem, ...pems].join("\n"));
      moduleDeps.log.info("trust anchors of the mesh", { given: pems.length, readable: anchors.length - extra.length });
      book.held.setAnchors(anchors);
    },
    [Symbol.asyncDispose]: () => task[Symbol.asyncDispose](),
  };
}

interface Store {
  readonly config: CertConfig;
  readonly source: CertificateSigner | IdentityProvider;
  readonly book: IdentityBook;
  readonly deps: CertDeps;
}

async function runStore({ config, source, book, deps }: Store, stop: AbortSignal): Promise<void> {
  const { cacheDirectory, output } = config;
  const tasks: Task[] = [(signal) => runKeeping(book, deps, signal)];
  if (output !== undefined) {
    const { runOutput } = await import("./cert-output.ts");
    tasks.push((signal) => runOutput(output, book.held, deps, signal));
  }
  if ("sign" in source) {
    if (cacheDirectory !== undefined) {
      const { restoreIdentity, runCache } = await import("./identity-cache.ts");
      await restoreIdentity(cacheDirectory, book, formatSpiffeId(config.identity), deps);
      tasks.push((signal) => runCache(cacheDirectory, book.held, deps, signal));
    }
    tasks.push((signal) => new Issuing(config, source, book, deps).run(signal));
  } else tasks.push((signal) => runProviding(source, book, deps, signal));
  await runTasks(stop, tasks);
}

async function runKeeping(book: IdentityBook, { clock }: CertDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    book.refresh();
    const nowMs = clock.now();
    await untilWallClock(clock, Math.min(nowMs + 1_000, book.held.nextChangeMs(nowMs)), signal);
  }
}
