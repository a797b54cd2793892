// SPDX-License-Identifier: Apache-2.0
import { formatSpan } from "../lib/relative-time.ts";
import { describeError } from "../lib/errors.ts";
import type { LogFields } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { WorkloadCertificate } from "../model/secret.ts";
import { HeldIdentities } from "./held-identities.ts";
import type { ReadCertificate } from "./read-certificate.ts";
import { type Lifetime, remainingLifetimeThreshold } from "./remaining-lifetime.ts";
import { type GivenRoot, trustDomainOf } from "./trust-domains.ts";
import type { CertDeps, CertStatus } from "./types.ts";

/** A certificate that passed its checks, with the roots that came with it. */
export interface CheckedIdentity {
  readonly certificate: WorkloadCertificate;
  readonly roots: readonly ReadCertificate[];
  /** Roots of other trust domains that came with it; undefined where its source knows of none. */
  readonly federated?: FederatedRootsRead | undefined;
  /** How long roots that are no longer among them stay trusted. */
  readonly keepRootsMs: number;
  /** When it was received: now, unless it was restored after a restart. */
  readonly acceptedMs: number;
}

/** Roots of other trust domains. */
export interface FederatedRootsRead {
  /** Those of trust domains whose workloads are let in. */
  readonly selected: readonly GivenRoot[];
  readonly others: readonly GivenRoot[];
}

/** Below this, the report is an error. */
const errorPercent = 25;
/** How late an attempt may be before it counts as overdue. */
const overdueMs = 1_000;
/** How long attempts may fail before the certificate counts as not renewed: the next one may succeed. */
const graceShare = 0.05;
const mostGraceMs = 60_000;

const waitingMessage = "no certificate from the CA yet; waiting";
const silentFailures: ReadonlySet<string> = new Set(["unreachable", "tls-handshake-timeout"]);

/**
 * The state of the workload's certificate: what is held, how attempts went, and what is missing for readiness. The
 * renewer, the provider and the cache write to it. `accept` is the only way for a certificate to be served.
 */
export class CertificateState {
  readonly held: HeldIdentities;
  readonly #deps: CertDeps;
  readonly #spiffeId: string;
  readonly #source: string;
  /** A CA that is away for long fails with each attempt. */
  readonly #outage: OutageLog;
  #attempts = 0;
  #failures = 0;
  #issued = 0;
  #isAttempting = false;
  /** Since when every attempt has failed. Wall clock. */
  #failingSinceMs: number | undefined;
  #lastError: string | undefined;
  #lastFailure: CertStatus["lastFailure"];
  #isSlowReported = false;
  #lastSuccessMs: number | undefined;
  #skewMs = 0;
  #dueMs: number | undefined;
  /** What the readiness hold says now; undefined when it is released. Differs from any detail at first. */
  #pendingDetail: string | undefined = "";
  #trustProblems: readonly string[] = [];
  #reported: { readonly serial: string; readonly percent: number } | undefined;

  /** @param ownDomains names of the own trust domain, besides that of the certificate */
  constructor(spiffeId: string, source: string, deps: CertDeps, ownDomains: readonly string[] = []) {
    this.#spiffeId = spiffeId;
    this.#source = source;
    this.#deps = deps;
    this.held = new HeldIdentities(deps.budgets, ownDomains, source === "ca" ? spiffeId : "");
    this.#outage = new OutageLog(deps.log, deps.clock);
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  get isValid(): boolean {
    return this.held.isValid(this.#deps.clock.now());
  }

  /** The next attempt is due then. */
  schedule(dueMs: number): void {
    this.#dueMs = dueMs;
  }

  /** After a change of the clock, earlier failures no longer delay the next attempt. */
  forgetFailures(): void {
    this.#failures = 0;
    this.#failingSinceMs = undefined;
  }

  attemptStarted(): void {
    this.#attempts++;
    this.#isAttempting = true;
    this.#isSlowReported = false;
  }

  /** An attempt failed, or the provider reported a problem. The certificate in use stays in use. */
  failed(error: unknown, message: string, facts: LogFields & { readonly failure?: string }): void {
    this.#failures++;
    this.#isAttempting = false;
    this.#failingSinceMs ??= this.#deps.clock.now();
    this.#lastError = describeError(error);
    this.#lastFailure = { atMs: this.#deps.clock.now(), reason: this.#lastError };
    const certificateInUse = this.status().state;
    const isSaid = this.#isSlowReported && silentFailures.has(facts.failure ?? "");
    this.#outage.failed({
      level: "warn",
      message,
      kind: isSaid ? waitingMessage : `${message} ${facts.failure ?? ""} ${certificateInUse}`,
      fields: { ...facts, error: this.#lastError, failuresInARow: this.#failures, certificateInUse },
    });
    this.refresh();
  }

  /** The attempt under way waits for the CA. Without a certificate, that is what the pod waits for. */
  isSlow(problem: string): void {
    if (this.#lastError !== undefined || this.isValid) return;
    this.#lastError = problem;
    this.#isSlowReported = true;
    this.#outage.failed({ level: "warn", message: waitingMessage, fields: { error: problem } });
    this.refresh();
  }

  /** Trusts the roots at once, and serves the certificate as soon as it is valid. */
  accept(identity: CheckedIdentity): void {
    const { certificate, acceptedMs } = identity;
    const { clock, log } = this.#deps;
    const nowMs = clock.now();
    const attempts = this.#failures + 1;
    this.trust(identity);
    this.held.add(certificate, acceptedMs, nowMs);
    this.#issued++;
    this.#attemptSucceeded(acceptedMs);
    this.#skewMs = Math.max(0, certificate.notBeforeMs - nowMs);
    this.refresh();
    log.info(this.#issued === 1 ? "certificate issued" : "certificate renewed", {
      spiffeId: certificate.spiffeId,
      serial: certificate.serial,
      notBefore: isoTime(certificate.notBeforeMs),
      notAfter: isoTime(certificate.notAfterMs),
      source: this.#source,
      attempts,
    });
  }

  /** The provider responds, with the identity that is served already: only its roots may be others. */
  acceptRoots(identity: CheckedIdentity): void {
    const failures = this.#failures;
    this.trust(identity);
    this.#attemptSucceeded(identity.acceptedMs);
    this.refresh();
    if (failures > 0) this.#deps.log.info("identity provider responds again", { source: this.#source, failures });
  }

  #attemptSucceeded(atMs: number): void {
    this.#failures = 0;
    this.#isAttempting = false;
    this.#failingSinceMs = undefined;
    this.#outage.works();
    this.#lastError = undefined;
    this.#lastSuccessMs = atMs;
  }

  /** How long a peer's certificate may be valid: as long as the newest one of this workload, or as requested. */
  peerLifetimeMs(requestedMs: number): number {
    const newest = this.held.newest?.certificate;
    return Math.max(requestedMs, newest === undefined ? 0 : newest.notAfterMs - newest.notBeforeMs);
  }

  /** Trusts the roots of an identity from now on. */
  trust({ certificate, roots, federated, keepRootsMs }: CheckedIdentity): void {
    const nowMs = this.#deps.clock.now();
    this.held.roots.addOwnDomain(trustDomainOf(certificate.spiffeId));
    if (federated !== undefined) {
      this.held.trust("offer", federated.others, 0, nowMs);
      this.held.trust("federation", federated.selected, 0, nowMs);
    }
    const own = roots.map((root) => ({ root, trustDomain: undefined }));
    this.held.trust("ca", own, keepRootsMs, nowMs);
  }

  /** Applies what changes with time alone: a certificate becomes valid, or expires. */
  refresh(): void {
    const { clock, hold } = this.#deps;
    const nowMs = clock.now();
    this.held.refresh(nowMs);
    this.#reportTrustProblems();
    this.#checkRemainingLifetime(nowMs);
    const isValid = this.held.isValid(nowMs);
    this.#noteRenewal(isValid);
    const detail = isValid ? undefined : this.#describePending(nowMs);
    if (detail === this.#pendingDetail) return;
    this.#pendingDetail = detail;
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
      failingSinceMs: this.#failingSinceMs,
      lastFailure: this.#lastFailure,
      lastSuccessMs: this.#lastSuccessMs,
      clockSkewMs: this.#skewMs,
      remainingLifetimePercent: this.#reported?.serial === certificate?.serial ? this.#reported?.percent : undefined,
    };
  }

  /** Renewal that fails is shown before the certificate expires. */
  #noteRenewal(isValid: boolean): void {
    const { renewalNote: note } = this.#deps;
    const expiry = this.held.served?.certificate.notAfterMs;
    if (!isValid || this.#lastError === undefined || expiry === undefined) note?.release();
    else note?.set(`the certificate is not renewed: ${this.#lastError}; the one in use expires at ${isoTime(expiry)}`);
  }

  /** Reports once what keeps peers of other trust domains out. */
  #reportTrustProblems(): void {
    const problems = this.held.domains.current?.problems ?? [];
    for (const problem of problems) {
      if (!this.#trustProblems.includes(problem)) this.#deps.log.error("trust domain not usable", { problem });
    }
    this.#trustProblems = problems;
  }

  /** Reports once for each threshold that the newest certificate is running out without a successor. */
  #checkRemainingLifetime(nowMs: number): void {
    const { newest } = this.held;
    if (newest === undefined) return;
    const { certificate, acceptedMs } = newest;
    // What was used up before it was received is back-dating, or another process's time.
    const startMs = Math.max(certificate.notBeforeMs, Math.min(acceptedMs, nowMs));
    const lifetime = { startMs, notAfterMs: certificate.notAfterMs };
    const percent = this.#isOverdue(lifetime, nowMs) ? remainingLifetimeThreshold(lifetime, nowMs) : undefined;
    if (percent === undefined) return;
    // Other processes may renew as late as at a third of the lifetime.
    if (this.#dueMs === undefined && percent > errorPercent) return;
    if (this.#reported?.serial === certificate.serial && this.#reported.percent <= percent) return;
    this.#reported = { serial: certificate.serial, percent };
    this.#deps.log[percent > errorPercent ? "warn" : "error"]("certificate is about to expire and was not renewed", {
      serial: certificate.serial,
      percentLeft: percent,
      notAfter: isoTime(certificate.notAfterMs),
      error: this.#lastError,
    });
  }

  /** Whether no attempt is under way, or is about to be made, that may renew the certificate. */
  #isOverdue({ startMs, notAfterMs }: Lifetime, nowMs: number): boolean {
    if (this.#dueMs === undefined) return true;
    if (this.#isAttempting) return false;
    if (this.#failingSinceMs === undefined) return nowMs > this.#dueMs + overdueMs;
    const graceMs = Math.min(mostGraceMs, graceShare * (notAfterMs - startMs));
    return nowMs > this.#failingSinceMs + Math.max(overdueMs, graceMs);
  }

  #describePending(nowMs: number): string {
    const { served, newest } = this.held;
    const error = this.#lastError;
    if (newest !== undefined && newest.certificate.notBeforeMs > nowMs) {
      const { notBeforeMs } = newest.certificate;
      const skew = formatSpan(notBeforeMs - nowMs);
      return `the certificate begins at ${isoTime(notBeforeMs)}: this machine's clock is ${skew} behind the CA's; set it`;
    }
    if (served === undefined)
      return error === undefined ? "waiting for the first certificate" : `no certificate yet: ${error}`;
    const expired = `the certificate expired at ${isoTime(served.certificate.notAfterMs)}`;
    return error === undefined ? expired : `${expired} and was not renewed: ${error}`;
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
