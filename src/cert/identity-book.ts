// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import type { WorkloadCertificate } from "../model/secret.ts";
import type { ReadCertificate } from "./answer.ts";
import type { CertDeps, CertStatus } from "./cert-store-face.ts";
import { HeldIdentities } from "./held-identities.ts";
import { lifeAlarm } from "./life-alarm.ts";

/** A certificate that was found good, with the roots that came with it. */
export interface Offer {
  readonly certificate: WorkloadCertificate;
  readonly roots: readonly ReadCertificate[];
  /** How long roots that are no longer among them stay trusted. */
  readonly keepRootsMs: number;
  /** When it came here first; now, unless it outlived a restart. */
  readonly acceptedMs: number;
}

/** All that is known about the workload's identity; the loops that get certificates write into it. */
export class IdentityBook {
  readonly held = new HeldIdentities();
  readonly #deps: CertDeps;
  readonly #spiffeId: string;
  readonly #source: string;
  #attempts = 0;
  #failures = 0;
  #issued = 0;
  #lastError: string | undefined;
  #lastSuccessMs: number | undefined;
  #skewMs = 0;
  #dueMs: number | undefined;
  /** What the readiness hold was told last; undefined for released. At first it was told nothing. */
  #lastDetail: string | undefined = "";
  #alarmed: { readonly serial: string; readonly percent: number } | undefined;

  constructor(spiffeId: string, source: string, deps: CertDeps) {
    this.#spiffeId = spiffeId;
    this.#source = source;
    this.#deps = deps;
  }

  get failures(): number {
    return this.#failures;
  }

  get isValid(): boolean {
    return this.held.isValid(this.#deps.clock.now());
  }

  /** Told when the next try is due, for the status and for alarms. */
  planned(dueMs: number): void {
    this.#dueMs = dueMs;
  }

  /** What went wrong before the clock was set says nothing about now. */
  forgetFailures(): void {
    this.#failures = 0;
  }

  tryBegins(): void {
    this.#attempts++;
  }

  /** A try failed, or a source complains. What is in use stays in use. */
  failed(error: unknown, message: string, facts: Readonly<Record<string, unknown>>): void {
    this.#failures++;
    this.#lastError = describeError(error);
    const { log } = this.#deps;
    log.warn(message, {
      ...facts,
      error: this.#lastError,
      failuresInARow: this.#failures,
      certificateInUse: this.status().state,
    });
    this.refresh();
  }

  /** Trusts the offer's roots, then serves its certificate as soon as it is valid. */
  accept({ certificate, roots, keepRootsMs, acceptedMs }: Offer): void {
    const { clock, log } = this.#deps;
    const nowMs = clock.now();
    const attempts = this.#failures + 1;
    this.held.trust(roots, keepRootsMs, nowMs);
    this.held.add(certificate, acceptedMs, nowMs);
    this.#issued++;
    this.#failures = 0;
    this.#lastError = undefined;
    this.#lastSuccessMs = acceptedMs;
    this.#skewMs = Math.max(0, certificate.notBeforeMs - nowMs);
    this.refresh();
    log.info(this.#issued === 1 ? "certificate issued" : "certificate rotated", {
      spiffeId: certificate.spiffeId,
      serial: certificate.serial,
      notBefore: isoTime(certificate.notBeforeMs),
      notAfter: isoTime(certificate.notAfterMs),
      source: this.#source,
      attempts,
    });
  }

  /** Notices what happens by the passing of time alone: a certificate that begins, one that ends. */
  refresh(): void {
    const { clock, hold } = this.#deps;
    const nowMs = clock.now();
    this.held.refresh(nowMs);
    this.#watchLife(nowMs);
    const detail = this.held.isValid(nowMs) ? undefined : this.#pendingDetail(nowMs);
    if (detail === this.#lastDetail) return;
    this.#lastDetail = detail;
    if (detail === undefined) hold.release();
    else hold.set(detail);
  }

  status(): CertStatus {
    const certificate = this.held.served?.certificate;
    const state = certificate === undefined ? "none" : this.isValid ? "valid" : "expired";
    return {
      state,
      source: this.#source,
      spiffeId: certificate?.spiffeId ?? this.#spiffeId,
      serial: certificate?.serial,
      notBeforeMs: certificate?.notBeforeMs,
      notAfterMs: certificate?.notAfterMs,
      rotationDueMs: this.#dueMs,
      rootsFirstExpiryMs: this.held.roots.firstExpiryMs,
      rootsSinceMs: this.held.roots.changedMs,
      attempts: this.#attempts,
      issued: this.#issued,
      failuresInARow: this.#failures,
      lastError: this.#lastError,
      lastSuccessMs: this.#lastSuccessMs,
      clockSkewMs: this.#skewMs,
      lifeAlarmPercent: this.#alarmed?.serial === certificate?.serial ? this.#alarmed?.percent : undefined,
    };
  }

  /** Says once for each mark that the certificate is running out without a successor. */
  #watchLife(nowMs: number): void {
    const { log } = this.#deps;
    const certificate = this.held.newest?.certificate;
    if (certificate === undefined) return;
    const overdue = this.#dueMs === undefined || this.#failures > 0 || nowMs > this.#dueMs + 1_000;
    const percent = overdue ? lifeAlarm(certificate, nowMs) : undefined;
    if (percent === undefined) return;
    if (this.#alarmed?.serial === certificate.serial && this.#alarmed.percent <= percent) return;
    this.#alarmed = { serial: certificate.serial, percent };
    log[percent > 25 ? "warn" : "error"]("the certificate is running out and could not be renewed", {
      serial: certificate.serial,
      percentLeft: percent,
      notAfter: isoTime(certificate.notAfterMs),
      error: this.#lastError,
    });
  }

  #pendingDetail(nowMs: number): string {
    const { served, newest } = this.held;
    const waiting =
      newest !== undefined && newest.certificate.notBeforeMs > nowMs
        ? `the certificate begins at ${isoTime(newest.certificate.notBeforeMs)}`
        : served === undefined
          ? "waiting for the first certificate"
          : `the certificate expired at ${isoTime(served.certificate.notAfterMs)}`;
    return this.#lastError === undefined ? waiting : `${waiting}; last try: ${this.#lastError}`;
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
