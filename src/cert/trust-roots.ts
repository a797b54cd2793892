// SPDX-License-Identifier: Apache-2.0
import type { ReadCertificate } from "./answer.ts";

interface KeptRoot {
  readonly pem: string;
  readonly notAfterMs: number;
  /** Until when it is trusted although the CA hands it out no more; undefined while the CA does. */
  readonly untilMs: number | undefined;
}

/**
 * The roots trusted now. A root that the CA stops handing out stays until every certificate that may have been issued
 * under it has expired: peers may still hold one as old as ours was young.
 */
export class TrustRoots {
  readonly #roots = new Map<string, KeptRoot>();
  #anchors: readonly ReadCertificate[] = [];
  #changedMs: number | undefined;
  /** Asked for every second; undefined while it has to be put together. */
  #rootsPem: string | undefined;

  /**
   * Takes the roots of a new answer.
   * @param keepMs how long those that are no longer among them stay: the longest that a peer's certificate may last
   */
  take(roots: readonly ReadCertificate[], keepMs: number, nowMs: number): void {
    this.#rootsPem = undefined;
    const given = new Map(roots.map((root) => [fingerprint(root), root]));
    for (const [key, root] of this.#roots) {
      if (given.has(key) || root.untilMs !== undefined) continue;
      this.#roots.set(key, { ...root, untilMs: Math.min(root.notAfterMs, nowMs + keepMs) });
    }
    for (const [key, root] of given) {
      if (!this.#roots.has(key)) this.#changedMs = nowMs;
      this.#roots.set(key, { pem: root.pem, notAfterMs: root.notAfterMs, untilMs: undefined });
    }
  }

  /** Replaces the roots that the mesh's control plane distributes; they are trusted beside the CA's. */
  setAnchors(anchors: readonly ReadCertificate[]): void {
    this.#rootsPem = undefined;
    this.#anchors = anchors;
  }

  /** Forgets the roots that are kept no longer. */
  prune(nowMs: number): void {
    for (const [key, root] of this.#roots) {
      if (root.untilMs === undefined || root.untilMs > nowMs) continue;
      this.#rootsPem = undefined;
      this.#roots.delete(key);
    }
  }

  /** Each root once, in an order that depends on the content alone. Empty before the first. */
  get rootsPem(): string {
    return (this.#rootsPem ??= this.#join());
  }

  /** When a root came that was not there before; undefined before the first. */
  get changedMs(): number | undefined {
    return this.#changedMs;
  }

  /** When the first of the trusted roots expires; undefined when there is none. */
  get firstExpiryMs(): number | undefined {
    const ends = [...this.#roots.values(), ...this.#anchors].map((root) => root.notAfterMs);
    return ends.length === 0 ? undefined : Math.min(...ends);
  }

  #join(): string {
    const pems = new Set([...this.#roots.values(), ...this.#anchors].map((root) => root.pem));
    return [...pems].sort().join("");
  }
}

function fingerprint(root: ReadCertificate): string {
  return root.x509.fingerprint256;
}
