// SPDX-License-Identifier: Apache-2.0
import { ObservableValue } from "../lib/async/observable-value.ts";
import { TimeSlice } from "../lib/async/time-slice.ts";
import type { CertificateState } from "./certificate-state.ts";
import { type ReadCertificate, readRoots } from "./read-certificate.ts";
import type { RenewalRequests } from "./renewal-requests.ts";
import { anchorsOf } from "./trust-domains.ts";
import type { SpiffeBundles } from "./spiffe-bundles.ts";
import type { CertConfig, CertDeps, TrustAnchor } from "./types.ts";

export interface MeshAnchorsOptions {
  readonly config: Pick<CertConfig, "anchors" | "bundlePolicy" | "rootSpreadMs" | "ttlMs">;
  readonly state: CertificateState;
  readonly requests: RenewalRequests;
}

/**
 * The trust anchors of the mesh: those of the configuration, and those that the control plane distributes. An anchor
 * speaks for the trust domains that the configuration names with it, wherever else it is given.
 */
export class MeshAnchors {
  readonly #config: MeshAnchorsOptions["config"];
  readonly #state: CertificateState;
  readonly #requests: RenewalRequests;
  readonly #deps: CertDeps;
  /** By fingerprint: the trust domains of a configured anchor. */
  #domains: ReadonlyMap<string, readonly string[]> = new Map();
  #distributed: readonly ReadCertificate[] = [];
  #configured: readonly TrustAnchor[] = [];
  readonly #bundleUrls = new ObservableValue<readonly string[]>();
  /** By URL: the roots of the configured bundles that have been read. */
  readonly #bundles = new Map<string, string>();
  /** A later set replaces one that is still being read. */
  #sets = 0;

  constructor({ config, state, requests }: MeshAnchorsOptions, deps: CertDeps) {
    this.#config = config;
    this.#state = state;
    this.#requests = requests;
    this.#deps = deps;
    if (config.anchors.length > 0) this.configure(config.anchors);
  }

  /** Replaces the anchors of the configuration. */
  configure(anchors: readonly TrustAnchor[]): void {
    this.#configured = anchors;
    const urls = new Set(anchors.flatMap((anchor) => ("bundleUrl" in anchor ? [anchor.bundleUrl] : [])));
    for (const url of this.#bundles.keys()) if (!urls.has(url)) this.#bundles.delete(url);
    if (urls.size > 0 || this.#bundleUrls.current !== undefined) this.#bundleUrls.set([...urls]);
    this.#trustConfigured();
  }

  /** Reads the bundles that the configuration names, and reads them again, until the signal aborts. */
  async followBundles(signal: AbortSignal): Promise<void> {
    await using stack = new AsyncDisposableStack();
    let bundles: SpiffeBundles | undefined;
    for await (const urls of this.#bundleUrls.watch(signal)) {
      bundles ??= stack.use(await this.#loadBundles());
      await bundles.follow(urls);
    }
  }

  async #loadBundles(): Promise<SpiffeBundles> {
    const { SpiffeBundles: Loaded } = await import("./spiffe-bundles.ts");
    const publish = (url: string, rootsPem: string): void => {
      this.#bundles.set(url, rootsPem);
      this.#trustConfigured();
    };
    return new Loaded({ policy: this.#config.bundlePolicy, publish }, this.#deps);
  }

  #trustConfigured(): void {
    const read = this.#configured.flatMap((anchor) => {
      const pem = "pem" in anchor ? anchor.pem : (this.#bundles.get(anchor.bundleUrl) ?? "");
      return readRoots(pem).map((root) => ({ root, trustDomains: anchor.trustDomains }));
    });
    this.#domains = new Map(read.map(({ root, trustDomains }) => [root.x509.fingerprint256, trustDomains]));
    this.#trust("configuration", [...new Map(read.map(({ root }) => [root.pem, root])).values()]);
    this.#trust("mesh", this.#distributed);
  }

  /** Replaces the anchors that the control plane distributes; unreadable ones are skipped. */
  async distribute(pems: readonly string[], signal?: AbortSignal): Promise<void> {
    const set = ++this.#sets;
    const roots: ReadCertificate[] = [];
    const slice = new TimeSlice(this.#deps.clock, signal);
    for (const pem of pems) {
      roots.push(...readRoots(pem));
      if (slice.isOver) await slice.next();
    }
    if (set !== this.#sets) return;
    this.#deps.log.info("mesh trust anchors updated", { given: pems.length, readable: roots.length });
    const wasWithCa = this.#hasRootOfCa(this.#distributed);
    this.#distributed = roots;
    this.#trust("mesh", roots);
    if (wasWithCa && roots.length > 0 && !this.#hasRootOfCa(roots)) this.#requestRenewal();
  }

  #hasRootOfCa(roots: readonly ReadCertificate[]): boolean {
    return roots.some((root) => this.#state.held.roots.isGivenByCa(root));
  }

  /** The mesh no longer has the root of the CA: it has another CA. The fleet sees that at once. */
  #requestRenewal(): void {
    const { clock, random, log } = this.#deps;
    const inMs = Math.round(random() * this.#config.rootSpreadMs);
    log.info("renewal requested: the mesh's trust anchors no longer have the CA's root", { inMs });
    this.#requests.request(clock.monotonicMs() + inMs);
  }

  #trust(source: "configuration" | "mesh", roots: readonly ReadCertificate[]): void {
    const given = roots.flatMap((root) => anchorsOf(root, this.#domains.get(root.x509.fingerprint256) ?? []));
    this.#state.held.trust(source, given, this.#state.peerLifetimeMs(this.#config.ttlMs), this.#deps.clock.now());
    this.#state.refresh();
  }
}
