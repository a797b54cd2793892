// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";
import type { TrustDomains } from "../model/trust-domains.ts";
import { shortenPeerText } from "../lib/printable-text.ts";
import type { ReadCertificate } from "./read-certificate.ts";
import { type GivenRoot, type RootOfDomain, type RootSource, trustDomainsOf } from "./trust-domains.ts";

/** A trusted root. */
export interface RootFacts {
  /** The distinguished name on one line. */
  readonly subject: string;
  readonly notAfterMs: number;
  /** Of the certificate, in lower-case hexadecimal. */
  readonly sha256: string;
  /** Set for a root that verifies one trust domain only. */
  readonly trustDomain: string | undefined;
}

interface TrustedRoot extends RootOfDomain {
  readonly notAfterMs: number;
  /** Those that give it now. */
  readonly sources: ReadonlySet<RootSource>;
  /** Whether the CA or a mounted file has given it: it stays trusted after a restart. */
  readonly isLasting: boolean;
  /** Since when no source gives it, and how long it stays trusted; undefined while one does. */
  readonly dropped: { readonly sinceMs: number; readonly keepMs: number } | undefined;
}

/**
 * The roots that are trusted now, of all sources. A root of the own trust domain that no source gives any more stays
 * until every certificate that may have been issued under it has expired: a peer's may be as old as ours was new. A root
 * of another trust domain is dropped at once, because its removal ends the federation.
 */
export class TrustRoots {
  readonly #limit: Budget;
  readonly #roots = new Map<string, TrustedRoot>();
  /** Names of the own trust domain: the configured one, those of certificates received, aliases. */
  readonly #ownDomains: Set<string>;
  #changedMs: number | undefined;
  /** Read every second; undefined when it must be made again. */
  #domains: TrustDomains | undefined;

  constructor(budgets: Budgets, ownDomains: readonly string[] = []) {
    this.#limit = budgets.of("ca-roots");
    this.#ownDomains = new Set(ownDomains.filter((name) => name !== ""));
  }

  /** The own roots also speak for this trust domain, from now on. */
  addOwnDomain(trustDomain: string): void {
    if (trustDomain === "" || this.#ownDomains.has(trustDomain)) return;
    this.#ownDomains.add(trustDomain);
    this.#domains = undefined;
  }

  /**
   * Replaces the roots of a source.
   * @param keepMs how long own roots that are no longer among them stay: the longest remaining lifetime of a peer's
   * certificate
   */
  update(source: RootSource, given: readonly GivenRoot[], keepMs: number, nowMs: number): void {
    this.#domains = undefined;
    const isLasting = source === "ca" || source.startsWith("file ");
    const fresh = new Map(given.map((one) => [keyOf(one), one]));
    for (const [key, root] of this.#roots) {
      if (!root.sources.has(source) || fresh.has(key)) continue;
      const sources = new Set([...root.sources].filter((one) => one !== source));
      const kept = { sinceMs: nowMs, keepMs: this.#isOwn(root.trustDomain) ? keepMs : 0 };
      this.#roots.set(key, { ...root, sources, dropped: sources.size > 0 ? undefined : kept });
    }
    for (const [key, { root, trustDomain }] of fresh) {
      const known = this.#roots.get(key);
      if (isLasting && known?.isLasting !== true) this.#changedMs = nowMs;
      const { x509, pem, notAfterMs } = root;
      this.#roots.set(key, {
        pem,
        notAfterMs,
        trustDomain,
        subject: known?.subject ?? x509.subject,
        issuer: known?.issuer ?? x509.issuer,
        sources: new Set([...(known?.sources ?? []), source]),
        isLasting: isLasting || known?.isLasting === true,
        dropped: undefined,
      });
    }
    this.#keepWithinLimit();
    this.prune(nowMs);
  }

  /** A source that has other roots each time: of those that no source gives any more, the oldest are not kept. */
  #keepWithinLimit(): void {
    const dropped = [...this.#roots].flatMap(([key, root]) =>
      root.dropped === undefined ? [] : [{ key, sinceMs: root.dropped.sinceMs }],
    );
    const given = [...this.#roots.values()].filter(({ sources }) => sources.has("ca")).length;
    const surplus = Math.min(dropped.length, dropped.length + given - this.#limit.size);
    for (const { key } of dropped.toSorted((a, b) => a.sinceMs - b.sinceMs).slice(0, Math.max(0, surplus))) {
      this.#roots.delete(key);
    }
  }

  /** Removes the roots whose time is over. A clock that was set back does not make the time longer. */
  prune(nowMs: number): void {
    for (const [key, root] of this.#roots) {
      if (root.dropped === undefined) continue;
      const { sinceMs, keepMs } = root.dropped;
      if (sinceMs > nowMs) this.#roots.set(key, { ...root, dropped: { sinceMs: nowMs, keepMs } });
      if (Math.min(root.notAfterMs, sinceMs + keepMs) > nowMs) continue;
      this.#domains = undefined;
      this.#roots.delete(key);
    }
  }

  /** Which roots verify which trust domain. */
  get domains(): TrustDomains {
    return (this.#domains ??= trustDomainsOf([...this.#roots.values()], [...this.#ownDomains]));
  }

  /** The own roots that last beyond a restart: those of the CA and of mounted files. */
  get lastingRootsPem(): string {
    const lasting = [...this.#roots.values()].filter((root) => root.isLasting && this.#isOwn(root.trustDomain));
    return [...new Set(lasting.map(({ pem }) => pem))].sort().join("");
  }

  /** Whether the workload trusts this root for its own trust domain. */
  isTrusted({ pem }: ReadCertificate): boolean {
    return this.#some((root) => root.pem === pem);
  }

  /** Whether the CA's last response, or the provider's, had this root. */
  isGivenByCa({ pem }: ReadCertificate): boolean {
    return this.#some((root) => root.pem === pem && root.sources.has("ca"));
  }

  #some(isMeant: (root: TrustedRoot) => boolean): boolean {
    for (const root of this.#roots.values()) if (this.#isOwn(root.trustDomain) && isMeant(root)) return true;
    return false;
  }

  /** Every trusted root, as people read it. */
  get facts(): readonly RootFacts[] {
    return [...this.#roots].map(([key, { subject, notAfterMs, trustDomain }]) => ({
      subject: nameOnOneLine(subject),
      notAfterMs,
      sha256: key.slice(0, key.indexOf(" ")).replaceAll(":", "").toLowerCase(),
      trustDomain,
    }));
  }

  /** When a new root was received last; undefined before the first. */
  get changedMs(): number | undefined {
    return this.#changedMs;
  }

  /** When the first of the trusted roots expires; undefined when there is none. */
  get firstExpiryMs(): number | undefined {
    const expiries = [...this.#roots.values()].map((root) => root.notAfterMs);
    return expiries.length === 0 ? undefined : Math.min(...expiries);
  }

  #isOwn(trustDomain: string | undefined): boolean {
    return trustDomain === undefined || this.#ownDomains.has(trustDomain);
  }
}

/** `CN=root, O=mesh`: the library writes one attribute on each line. */
export function nameOnOneLine(name: string): string {
  return shortenPeerText(name.trim().split("\n").toReversed().join(", "));
}

function keyOf({ root, trustDomain }: GivenRoot): string {
  return `${root.x509.fingerprint256} ${trustDomain ?? ""}`;
}
