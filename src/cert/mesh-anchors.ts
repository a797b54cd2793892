// SPDX-License-Identifier: Apache-2.0
import { TimeSlice } from "../lib/async/time-slice.ts";
import type { CertificateState } from "./certificate-state.ts";
import { type ReadCertificate, readRoots } from "./read-certificate.ts";
import { anchorsOf } from "./trust-domains.ts";
import type { CertConfig, CertDeps, TrustAnchor } from "./types.ts";

/**
 * The trust anchors of the mesh: those of the configuration, and those that the control plane distributes. An anchor
 * speaks for the trust domains that the configuration names with it, wherever else it is given.
 */
export class MeshAnchors {
  readonly #ttlMs: number;
  readonly #state: CertificateState;
  readonly #deps: CertDeps;
  /** By fingerprint: the trust domains of a configured anchor. */
  #domains: ReadonlyMap<string, readonly string[]> = new Map();
  #distributed: readonly ReadCertificate[] = [];
  /** A later set replaces one that is still being read. */
  #sets = 0;

  constructor({ anchors, ttlMs }: CertConfig, state: CertificateState, deps: CertDeps) {
    this.#ttlMs = ttlMs;
    this.#state = state;
    this.#deps = deps;
    if (anchors.length > 0) this.configure(anchors);
  }

  /** Replaces the anchors of the configuration. */
  configure(anchors: readonly TrustAnchor[]): void {
    const read = anchors.flatMap(({ pem, trustDomains }) => readRoots(pem).map((root) => ({ root, trustDomains })));
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
    this.#distributed = roots;
    this.#trust("mesh", roots);
  }

  #trust(source: "configuration" | "mesh", roots: readonly ReadCertificate[]): void {
    const given = roots.flatMap((root) => anchorsOf(root, this.#domains.get(root.x509.fingerprint256) ?? []));
    this.#state.held.trust(source, given, this.#state.peerLifetimeMs(this.#ttlMs), this.#deps.clock.now());
    this.#state.refresh();
  }
}
