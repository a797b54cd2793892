// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";
import type { ReadCertificate } from "./read-certificate.ts";

interface CaRoot {
  readonly pem: string;
  readonly notAfterMs: number;
  /** Since when the CA no longer returns it, and how long it stays trusted; undefined while the CA does. */
  readonly dropped: { readonly sinceMs: number; readonly keepMs: number } | undefined;
}

/**
 * The roots that are trusted now: those of the CA, and the trust anchors that the mesh's control plane distributes. A
 * root that the CA no longer returns stays until every certificate that may have been issued under it has expired: a
 * peer's may be as old as ours was new.
 */
export class TrustRoots {
  readonly #limit: Budget;
  readonly #caRoots = new Map<string, CaRoot>();
  #anchors: readonly ReadCertificate[] = [];
  #changedMs: number | undefined;
  /** Read every second; undefined when it must be joined again. */
  #rootsPem: string | undefined;

  constructor(budgets: Budgets) {
    this.#limit = budgets.of("ca-roots");
  }

  /**
   * Takes the roots of a CA's response.
   * @param keepMs how long roots that are no longer among them stay: the longest remaining lifetime of a peer's certificate
   */
  update(roots: readonly ReadCertificate[], keepMs: number, nowMs: number): void {
    this.#rootsPem = undefined;
    const given = new Map(roots.map((root) => [root.x509.fingerprint256, root]));
    for (const [fingerprint, root] of this.#caRoots) {
      if (given.has(fingerprint) || root.dropped !== undefined) continue;
      this.#caRoots.set(fingerprint, { ...root, dropped: { sinceMs: nowMs, keepMs } });
    }
    for (const [fingerprint, { pem, notAfterMs }] of given) {
      if (!this.#caRoots.has(fingerprint)) this.#changedMs = nowMs;
      this.#caRoots.set(fingerprint, { pem, notAfterMs, dropped: undefined });
    }
    this.#keepWithinLimit();
  }

  /** A CA that has other roots in each response: of those that it no longer returns, the oldest are not kept. */
  #keepWithinLimit(): void {
    if (this.#limit.admits(this.#caRoots.size)) return;
    const dropped = [...this.#caRoots].flatMap(([fingerprint, root]) =>
      root.dropped === undefined ? [] : [{ fingerprint, sinceMs: root.dropped.sinceMs }],
    );
    const surplus = this.#caRoots.size - this.#limit.size;
    for (const { fingerprint } of dropped.toSorted((a, b) => a.sinceMs - b.sinceMs).slice(0, surplus)) {
      this.#caRoots.delete(fingerprint);
    }
  }

  /** Replaces the trust anchors of the mesh. They apply at once, and are never kept longer than they are given. */
  setAnchors(anchors: readonly ReadCertificate[]): void {
    this.#rootsPem = undefined;
    this.#anchors = anchors;
  }

  /** Removes the roots whose time is over. A clock that was set back does not make the time longer. */
  prune(nowMs: number): void {
    for (const [fingerprint, root] of this.#caRoots) {
      if (root.dropped === undefined) continue;
      const { sinceMs, keepMs } = root.dropped;
      if (sinceMs > nowMs) this.#caRoots.set(fingerprint, { ...root, dropped: { sinceMs: nowMs, keepMs } });
      if (Math.min(root.notAfterMs, sinceMs + keepMs) > nowMs) continue;
      this.#rootsPem = undefined;
      this.#caRoots.delete(fingerprint);
    }
  }

  /** Each trusted root once, in an order that depends on the content alone. Empty before the first. */
  get rootsPem(): string {
    return (this.#rootsPem ??= join([...this.#caRoots.values(), ...this.#anchors]));
  }

  /** As `rootsPem`, without the trust anchors of the mesh. */
  get caRootsPem(): string {
    return join([...this.#caRoots.values()]);
  }

  /** When a new root was received last; undefined before the first. */
  get changedMs(): number | undefined {
    return this.#changedMs;
  }

  /** When the first of the trusted roots expires; undefined when there is none. */
  get firstExpiryMs(): number | undefined {
    const expiries = [...this.#caRoots.values(), ...this.#anchors].map((root) => root.notAfterMs);
    return expiries.length === 0 ? undefined : Math.min(...expiries);
  }
}

function join(roots: readonly { readonly pem: string }[]): string {
  return [...new Set(roots.map((root) => root.pem))].sort().join("");
}
