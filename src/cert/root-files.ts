// SPDX-License-Identifier: Apache-2.0
import { runTasks } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { followFiles, readTexts } from "./cert-files.ts";
import type { CertificateState } from "./certificate-state.ts";
import { CertFileError } from "./errors.ts";
import { type ReadCertificate, readRoots } from "./read-certificate.ts";
import type { RenewalRequests } from "./renewal-requests.ts";
import type { CertConfig, CertDeps, RootFile } from "./types.ts";

export interface RootFilesOptions {
  readonly config: Pick<CertConfig, "rootFiles" | "rootSpreadMs" | "ttlMs">;
  readonly state: CertificateState;
  readonly requests: RenewalRequests;
}

/** A CA that has not followed its new root yet is asked again after this long, then after twice as long. */
const firstRetryMs = 60_000;
const longestRetryMs = 600_000;

/**
 * Follows the mounted roots by which the CA and the control plane are verified. When the mesh's CA is replaced, they
 * change first: new ones are trusted at once, and a renewal follows after a random part of `rootSpreadMs`. Starts when
 * there is a certificate.
 */
export async function followRootFiles(options: RootFilesOptions, deps: CertDeps, stop: AbortSignal): Promise<void> {
  const { config, state } = options;
  for await (const _ of state.held.default.watch(stop)) break;
  if (stop.aborted) return;
  const files = config.rootFiles.map((file) => new FollowedRootFile(file, options, deps));
  await runTasks(
    stop,
    files.map((file) => (signal: AbortSignal) => file.follow(signal)),
  );
}

/**
 * A file of roots. It is one of the mesh's own if all that it had were roots of the mesh already: a bundle that verifies
 * a server may have others, which must not speak for workloads. The ConfigMap of istiod is, if it has a root of the CA.
 */
class FollowedRootFile {
  readonly #file: RootFile;
  readonly #options: RootFilesOptions;
  readonly #deps: CertDeps;
  #roots: readonly ReadCertificate[] | undefined;
  #isOfMesh = false;
  #retryMs = firstRetryMs;

  constructor(file: RootFile, options: RootFilesOptions, deps: CertDeps) {
    this.#file = file;
    this.#options = options;
    this.#deps = deps;
  }

  async follow(stop: AbortSignal): Promise<void> {
    await runTasks(stop, [(signal) => this.#followFile(signal), (signal) => this.#followCertificate(signal)]);
  }

  async #followFile(signal: AbortSignal): Promise<void> {
    const { path } = this.#file;
    const { log, clock, budgets } = this.#deps;
    using outage = new OutageLog(log, clock, { recovered: "mounted roots usable again" });
    const parse = ([text = ""]: readonly string[]): readonly ReadCertificate[] => {
      const roots = readRoots(text, budgets.of("ca-roots"));
      if (roots.length === 0) throw new CertFileError(path, "it has no certificate that can be parsed");
      return roots;
    };
    const files = { paths: [path], read: (paths: readonly string[]) => readTexts(paths, budgets), parse };
    for await (const read of followFiles(files, { ...this.#deps, debounceMs: this.#file.debounceMs }, signal)) {
      if ("value" in read) {
        outage.works({ path });
        this.#replaced(read.value);
      } else if (this.#roots !== undefined) {
        const error = describeError(read.error);
        const message = "mounted roots not usable; keeping the previous ones";
        outage.failed({ level: "warn", message, kind: error, fields: { error } });
      }
    }
  }

  #replaced(roots: readonly ReadCertificate[]): void {
    const before = this.#roots;
    this.#decide(before ?? roots);
    this.#roots = roots;
    this.#decide(roots);
    this.#trust();
    if (before === undefined) {
      // Restored from the cache: the CA may have been replaced meanwhile.
      if (this.#options.state.status().attempts === 0 && !this.#hasRootOfCa(roots)) this.#requestRenewal(0);
      return;
    }
    const added = roots.filter((root) => !before.some(({ pem }) => pem === root.pem));
    if (added.length === 0) return;
    this.#retryMs = firstRetryMs;
    this.#deps.log.info("mounted roots changed", {
      path: this.#file.path,
      added: added.map(({ x509 }) => x509.subject.replaceAll("\n", ", ")),
      trusted: this.#isOfMesh,
    });
    if (this.#isOfMesh || this.#hasRootOfCa(before)) this.#requestRenewal(0);
  }

  /** After each certificate: the file's roots may turn out to be the mesh's, and the CA may not have followed yet. */
  async #followCertificate(signal: AbortSignal): Promise<void> {
    for await (const _ of this.#options.state.held.default.watch(signal)) {
      const roots = this.#roots;
      if (roots === undefined) continue;
      this.#decide(roots);
      this.#trust();
      if (!this.#isOfMesh || this.#hasRootOfCa(roots)) continue;
      this.#requestRenewal(this.#retryMs);
      this.#retryMs = Math.min(2 * this.#retryMs, longestRetryMs);
    }
  }

  #decide(roots: readonly ReadCertificate[]): void {
    if (this.#isOfMesh) return;
    const { held } = this.#options.state;
    this.#isOfMesh = this.#file.isOfMesh ? this.#hasRootOfCa(roots) : roots.every((root) => held.roots.isTrusted(root));
  }

  #hasRootOfCa(roots: readonly ReadCertificate[]): boolean {
    return roots.some((root) => this.#options.state.held.roots.isGivenByCa(root));
  }

  #trust(): void {
    const { config, state } = this.#options;
    if (!this.#isOfMesh || this.#roots === undefined) return;
    const given = this.#roots.map((root) => ({ root, trustDomain: undefined }));
    state.held.trust(`file ${this.#file.path}`, given, state.peerLifetimeMs(config.ttlMs), this.#deps.clock.now());
  }

  /** The fleet sees the file change at once, and must not call the CA at once. */
  #requestRenewal(afterMs: number): void {
    const { clock, random, log } = this.#deps;
    const inMs = Math.round(afterMs + random() * this.#options.config.rootSpreadMs);
    log.info("renewal requested: the mesh's roots have changed", { path: this.#file.path, inMs });
    this.#options.requests.request(clock.monotonicMs() + inMs);
  }
}
