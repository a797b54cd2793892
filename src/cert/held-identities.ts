// SPDX-License-Identifier: Apache-2.0
import type { Secret, WorkloadCertificate } from "../model/secret.ts";
import { ObservableValue } from "../lib/async/observable-value.ts";
import type { ReadCertificate } from "./answer.ts";
import { TrustRoots } from "./trust-roots.ts";

/** A certificate with when it came here. */
export interface HeldIdentity {
  readonly certificate: WorkloadCertificate;
  /** Wall clock at acceptance. */
  readonly acceptedMs: number;
}

/** A provider that renews often may hand out long lives: only so many are kept, the newest. */
const mostHeld = 16;

/**
 * Every certificate that may still be of use, and the choice among them: the newest that is valid now. One that begins
 * later waits here for its time; one that was replaced stays until it expires, in case its successor expires first.
 * What was handed out is never taken back, only replaced.
 */
export class HeldIdentities {
  readonly default = new ObservableValue<Secret>();
  readonly ROOTCA = new ObservableValue<Secret>();
  readonly #roots = new TrustRoots();
  #held: readonly HeldIdentity[] = [];
  #served: HeldIdentity | undefined;

  /** The certificate in use, valid or not; undefined before the first. */
  get served(): HeldIdentity | undefined {
    return this.#served;
  }

  /** The certificate received last, which may wait for its time. */
  get newest(): HeldIdentity | undefined {
    return this.#held.at(-1) ?? this.#served;
  }

  get roots(): TrustRoots {
    return this.#roots;
  }

  /** Whether the certificate in use is valid at this moment. */
  isValid(nowMs: number): boolean {
    return this.#served !== undefined && isValid(this.#served, nowMs);
  }

  /**
   * Trusts these roots from now on. To be done before a certificate under them is added.
   * @param keepMs how long those that are no longer given stay trusted
   */
  trust(roots: readonly ReadCertificate[], keepMs: number, nowMs: number): void {
    this.#roots.take(roots, keepMs, nowMs);
    this.#roots.prune(nowMs);
    this.#publishRoots();
  }

  setAnchors(anchors: readonly ReadCertificate[]): void {
    this.#roots.setAnchors(anchors);
    this.#publishRoots();
  }

  /** @param acceptedMs when it came here first */
  add(certificate: WorkloadCertificate, acceptedMs: number, nowMs: number): void {
    this.#held = [...this.#held, { certificate, acceptedMs }].slice(-mostHeld);
    this.refresh(nowMs);
  }

  /** Makes the choice anew; to be called as time passes. */
  refresh(nowMs: number): void {
    this.#roots.prune(nowMs);
    this.#publishRoots();
    this.#held = this.#held.filter((one) => one.certificate.notAfterMs > nowMs);
    const best = this.#held.findLast((one) => isValid(one, nowMs));
    if (best === undefined || best === this.#served) return;
    this.#served = best;
    publish(this.default, { kind: "certificate", ...best.certificate });
  }

  /** When the choice may next be another, by the passing of time alone; infinity for never. */
  nextChangeMs(nowMs: number): number {
    const times = this.#held.flatMap(({ certificate }) => [certificate.notBeforeMs, certificate.notAfterMs]);
    return Math.min(...times.filter((time) => time > nowMs));
  }

  #publishRoots(): void {
    const { rootsPem } = this.#roots;
    if (rootsPem !== "") publish(this.ROOTCA, { kind: "trust-bundle", rootsPem });
  }
}

function isValid({ certificate }: HeldIdentity, nowMs: number): boolean {
  return certificate.notBeforeMs <= nowMs && nowMs < certificate.notAfterMs;
}

/** Texts here are normalised PEM, so equal text is equal DER. */
function publish(watched: ObservableValue<Secret>, secret: Secret): void {
  const { current } = watched;
  if (current !== undefined && contentOf(current) === contentOf(secret)) return;
  watched.set(secret);
}

function contentOf(secret: Secret): string {
  return secret.kind === "certificate" ? secret.chainPem + secret.keyPem : secret.rootsPem;
}
