// SPDX-License-Identifier: Apache-2.0
import { ObservableValue } from "../lib/async/observable-value.ts";
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";
import type { Secret, WorkloadCertificate } from "../model/secret.ts";
import type { TrustDomains } from "../model/trust-domains.ts";
import { type GivenRoot, type RootSource, rootsOfPeers } from "./trust-domains.ts";
import { TrustRoots } from "./trust-roots.ts";

/** A certificate, and when it was received. */
export interface HeldIdentity {
  readonly certificate: WorkloadCertificate;
  /** Wall clock at acceptance. */
  readonly acceptedMs: number;
}

/**
 * Every certificate that may still be of use, and the choice of the one that is served: the newest that is valid now. A
 * certificate that begins later waits here. A replaced one stays until it expires, in case its successor expires first.
 * A served certificate is never withdrawn, only replaced.
 */
export class HeldIdentities {
  /** The secrets as SDS serves them, under their names on the wire. */
  readonly default = new ObservableValue<Secret>();
  readonly ROOTCA = new ObservableValue<Secret>();
  /** By SPIFFE ID: the certificate in use, and other identities of the provider. Set with the first certificate. */
  readonly identities = new ObservableValue<ReadonlyMap<string, Secret>>();
  /** All roots by trust domain, for the names of SPIFFE. */
  readonly domains = new ObservableValue<TrustDomains>();
  readonly roots: TrustRoots;
  /** A provider may renew often and issue long lifetimes: only the newest certificates are kept. */
  readonly #limit: Budget;
  #held: readonly HeldIdentity[] = [];
  #served: HeldIdentity | undefined;
  #others: ReadonlyMap<string, Secret> = new Map();
  readonly #ownId: string;

  /**
   * @param ownDomains names of the own trust domain, besides that of the certificate
   * @param ownId the configured SPIFFE ID, under which the certificate is known too; empty for none
   */
  constructor(budgets: Budgets, ownDomains: readonly string[] = [], ownId = "") {
    this.#ownId = ownId;
    this.roots = new TrustRoots(budgets, ownDomains);
    this.#limit = budgets.of("held-identities");
  }

  /** The certificate in use, valid or not; undefined before the first. */
  get served(): HeldIdentity | undefined {
    return this.#served;
  }

  /** The certificate received last; it may not be valid yet. */
  get newest(): HeldIdentity | undefined {
    return this.#held.at(-1) ?? this.#served;
  }

  /** Whether the certificate in use is valid at this moment. */
  isValid(nowMs: number): boolean {
    return this.#served !== undefined && isValid(this.#served, nowMs);
  }

  /**
   * Whether a certificate is valid from now on until the newest one is. After the clock was set back, none may be.
   * @param soonMs a newest one that begins this soon counts as valid
   */
  isCovered(nowMs: number, soonMs: number): boolean {
    const begin = this.newest?.certificate.notBeforeMs ?? Number.POSITIVE_INFINITY;
    if (begin <= nowMs + soonMs) return true;
    const held = this.#served === undefined ? this.#held : [...this.#held, this.#served];
    return held.some((one) => isValid(one, nowMs) && one.certificate.notAfterMs >= begin);
  }

  /**
   * Trusts these roots of a source from now on, instead of those that it gave before. Must be called before a certificate
   * under them is added.
   * @param keepMs how long roots that no source gives any more stay trusted
   */
  trust(source: RootSource, roots: readonly GivenRoot[], keepMs: number, nowMs: number): void {
    this.roots.update(source, roots, keepMs, nowMs);
    this.#publishRoots();
  }

  /** @param acceptedMs when it was received first */
  add(certificate: WorkloadCertificate, acceptedMs: number, nowMs: number): void {
    const added = { certificate, acceptedMs };
    const held = [...this.#held, added];
    if (!this.#limit.admits(held.length)) held.splice(held.indexOf(leastUseful(held, nowMs)), 1);
    this.#held = held;
    this.refresh(nowMs);
  }

  /** Chooses again which certificate is served; called as time passes. */
  refresh(nowMs: number): void {
    this.roots.prune(nowMs);
    this.#publishRoots();
    this.#held = this.#held.filter((one) => one.certificate.notAfterMs > nowMs);
    const best = this.#held.findLast((one) => isValid(one, nowMs));
    if (best === undefined || best === this.#served) return;
    this.#served = best;
    publish(this.default, { kind: "certificate", ...best.certificate });
    this.#publishIdentities();
  }

  /** Replaces the other identities that the provider has given to this workload. */
  setOthers(others: readonly WorkloadCertificate[]): void {
    if (others.length === 0 && this.#others.size === 0) return;
    this.#others = new Map(others.map((one) => [one.spiffeId, { kind: "certificate", ...one }]));
    this.#publishIdentities();
  }

  #publishIdentities(): void {
    if (this.#served === undefined) return;
    const { certificate } = this.#served;
    const own: Secret = { kind: "certificate", ...certificate };
    const configured = this.#ownId === "" ? [] : [[this.#ownId, own] as const];
    this.identities.set(new Map([...this.#others, ...configured, [certificate.spiffeId, own]]));
  }

  /** When time alone may change the choice next; infinity for never. */
  nextChangeMs(nowMs: number): number {
    const times = this.#held.flatMap(({ certificate }) => [certificate.notBeforeMs, certificate.notAfterMs]);
    return Math.min(...times.filter((time) => time > nowMs));
  }

  #publishRoots(): void {
    const { domains } = this.roots;
    if (domains === this.domains.current || (domains.ownRootsPem === "" && domains.known.length === 0)) return;
    this.domains.set(domains);
    const bundle = rootsOfPeers(domains);
    if (bundle.rootsPem !== "") publish(this.ROOTCA, { kind: "trust-bundle", ...bundle });
  }
}

/** The oldest, except that the certificate that will begin first, and the newest, are kept while others begin later. */
function leastUseful(held: readonly HeldIdentity[], nowMs: number): HeldIdentity {
  const later = held.slice(0, -1).filter(({ certificate }) => certificate.notBeforeMs > nowMs);
  const first = later.toSorted((a, b) => a.certificate.notBeforeMs - b.certificate.notBeforeMs)[0];
  const [least] = [...later.filter((one) => one !== first), ...held];
  if (least === undefined) throw new Error("no certificate is held");
  return least;
}

function isValid({ certificate }: HeldIdentity, nowMs: number): boolean {
  return certificate.notBeforeMs <= nowMs && nowMs < certificate.notAfterMs;
}

/** Publishes a new content only. The PEM is normalised, so that equal text is equal DER. */
function publish(value: ObservableValue<Secret>, secret: Secret): void {
  const { current } = value;
  if (current !== undefined && secretContent(current) === secretContent(secret)) return;
  value.set(secret);
}

/** What distinguishes one secret from another of its name. */
export function secretContent(secret: Secret): string {
  if (secret.kind === "certificate") return secret.chainPem + secret.keyPem;
  const domains = secret.domains?.map(({ trustDomain, rootsPem }) => `${trustDomain} ${rootsPem}`) ?? [];
  return [secret.rootsPem, ...domains].join("\0");
}
