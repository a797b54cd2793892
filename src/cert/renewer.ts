// SPDX-License-Identifier: Apache-2.0
import { untilWallClock } from "../lib/async/clock.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { ResponseCheck, SignedChain, SigningRequest } from "../model/signing.ts";
import { formatSpiffeId } from "../model/spiffe-id.ts";
import type { CertificateState } from "./certificate-state.ts";
import { assertCompleteIdentity, createKeyAndRequest, type KeyAndRequest, renderPrivateKey } from "./csr.ts";
import { CaRejectedError, ResponseError } from "./errors.ts";
import {
  AttemptLimit,
  callHedged,
  firstRotationDelayMs,
  retryDelayMs,
  rotationDelayMs,
  untilUrgentMs,
  whenSlow,
} from "./renewal-pace.ts";
import { type CheckedResponse, checkResponse, maxSkewMs } from "./response-check.ts";
import type { RenewalRequests } from "./renewal-requests.ts";
import { readFailure, type SigningFailure } from "./signing-failure.ts";
import type { CertConfig, CertDeps, CertificateSigner } from "./types.ts";

/** A certificate that begins this soon is waited for. One that begins later is due for renewal. */
const beginsSoonMs = 10_000;

/** Obtains certificates from a signer, each in time before the last one expires. */
export class Renewer {
  readonly #config: CertConfig;
  readonly #signer: CertificateSigner;
  readonly #requests: RenewalRequests;
  readonly #state: CertificateState;
  readonly #deps: CertDeps;
  readonly #spiffeId: string;
  readonly #limit = new AttemptLimit();
  /** Kept over failed attempts, so that a CA that is down costs no keys. */
  #request: KeyAndRequest | undefined;
  /** One random number for each certificate, so that rescheduling after a clock jump gives the same share of its lifetime. */
  #random: number;
  #isFirst = true;
  /** Failures in a row before the last change of their cause: they do not slow down the attempts after it. */
  #failuresBefore = 0;
  /** How many certificates in a row were not valid yet when they were received. */
  #premature = 0;
  /** Since when the CA has rejected every attempt permanently. Monotonic clock. */
  #rejectedSinceMs: number | undefined;

  constructor(
    config: CertConfig,
    { signer, requests }: { readonly signer: CertificateSigner; readonly requests: RenewalRequests },
    state: CertificateState,
    deps: CertDeps,
  ) {
    this.#config = config;
    this.#signer = signer;
    this.#requests = requests;
    this.#state = state;
    this.#deps = deps;
    this.#spiffeId = formatSpiffeId(config.identity);
    this.#random = deps.random();
  }

  /**
   * Makes an attempt whenever a renewal or a retry is due, until the signal aborts.
   * @param firstAtMs when the first attempt is due whatever is held; undefined when it depends on the certificate held
   */
  async run(signal: AbortSignal, firstAtMs?: number): Promise<void> {
    const { clock, log } = this.#deps;
    let retryAtMs = firstAtMs;
    /** The last attempt's failure, while a change of its cause may end the wait. */
    let failed: SigningFailure | undefined;
    while (!signal.aborted) {
      const offsetMs = clock.now() - clock.monotonicMs();
      const requestedMs = offsetMs + (this.#requests.dueMs ?? Number.POSITIVE_INFINITY);
      const plannedMs = Math.min(retryAtMs ?? this.#renewalDueMs(), requestedMs);
      const dueMs = Math.max(plannedMs, offsetMs + this.#limit.earliestMs);
      this.#state.schedule(dueMs);
      switch (await this.#untilDue(dueMs, failed, signal)) {
        case "due":
          if (this.#premature > 0 && this.#isCovered && requestedMs > clock.now()) {
            this.#premature = 0;
            retryAtMs = undefined;
            break;
          }
          this.#requests.attempted(clock.monotonicMs());
          failed = await this.#attempt(signal);
          retryAtMs = failed === undefined ? this.#prematureRetryAtMs() : clock.now() + this.#retryDelayMs(failed);
          break;
        case "jumped":
          log.info("clock changed or process was suspended; rescheduling renewal", {
            certificateInUse: this.#state.status().state,
          });
          this.#state.forgetFailures();
          this.#failuresBefore = 0;
          this.#premature = 0;
          retryAtMs = undefined;
          break;
        case "changed":
          // Tried at once, whatever came before. Later failures have another cause, so their pace begins again.
          failed = undefined;
          this.#limit.causeChanged(clock.monotonicMs());
          this.#failuresBefore = this.#state.failures;
          retryAtMs = clock.now();
          break;
        case "requested":
          break;
        case "reachable":
          // Once for each failed attempt; the limit still applies.
          failed = undefined;
          retryAtMs = clock.now();
          break;
      }
    }
  }

  /** @param failed the attempt whose cause may change before the time is due */
  async #untilDue(
    dueMs: number,
    failed: SigningFailure | undefined,
    signal: AbortSignal,
  ): Promise<"due" | "jumped" | "changed" | "reachable" | "requested"> {
    const done = new AbortController();
    const either = AbortSignal.any([signal, done.signal]);
    const requested = this.#requests.untilEarlier(either).then(() => "requested" as const);
    requested.catch(() => undefined);
    const waits = [requested, ...(failed === undefined ? [] : this.#waitsFor(failed, either))];
    try {
      const due = untilWallClock(this.#deps.clock, dueMs, either);
      due.catch(() => undefined);
      return await Promise.race([due, ...waits]);
    } finally {
      done.abort();
      await Promise.allSettled(waits);
      signal.throwIfAborted();
    }
  }

  /** What may end the wait after a failure: changed files, or a CA that accepts connections again. */
  #waitsFor(failed: SigningFailure, signal: AbortSignal): readonly Promise<"changed" | "reachable">[] {
    const changed = this.#signer.untilChanged?.(signal).then(() => "changed" as const);
    const probed = this.#isProbed(failed) ? this.#signer.untilReachable?.(signal) : undefined;
    const reachable = probed?.then(() => "reachable" as const);
    return [changed, reachable].filter((one) => one !== undefined);
  }

  /** Connections are probed only when it is urgent, so that a fleet with certificates does not return at once. */
  #isProbed({ isUnconnected }: SigningFailure): boolean {
    return isUnconnected && this.#notUrgentMs <= 0 && this.#signer.untilReachable !== undefined;
  }

  get #notUrgentMs(): number {
    return untilUrgentMs(this.#state.held.served, this.#deps.clock.now());
  }

  /** Never in the future when there is no certificate, or when the clock was set back and it is not valid yet. */
  #renewalDueMs(): number {
    const { newest } = this.#state.held;
    if (newest === undefined || !this.#isCovered) return Number.NEGATIVE_INFINITY;
    const { notBeforeMs, notAfterMs } = newest.certificate;
    const acceptedMs = Math.min(newest.acceptedMs, this.#deps.clock.now());
    const validity = { startMs: Math.max(notBeforeMs, acceptedMs), notAfterMs };
    const delayMs = this.#isFirst ? firstRotationDelayMs : rotationDelayMs;
    return acceptedMs + delayMs(validity, this.#config.rotation, acceptedMs, this.#random);
  }

  get #isCovered(): boolean {
    return this.#state.held.isCovered(this.#deps.clock.now(), beginsSoonMs);
  }

  /** When the CA's clock is ahead, another certificate may be valid sooner than the one just received. */
  #prematureRetryAtMs(): number | undefined {
    this.#premature = this.#isCovered ? 0 : this.#premature + 1;
    if (this.#premature === 0) return undefined;
    const { clock, random } = this.#deps;
    const attempts = { failures: this.#premature, notUrgentMs: 0, probed: false, retryAfterMs: 0, random: random() };
    return clock.now() + retryDelayMs(attempts);
  }

  #retryDelayMs(failed: SigningFailure): number {
    const { retryAfterMs } = failed;
    const failures = Math.max(1, this.#state.failures - this.#failuresBefore);
    const notUrgentMs = this.#notUrgentMs;
    const random = this.#deps.random();
    return retryDelayMs({ failures, notUrgentMs, probed: this.#isProbed(failed), retryAfterMs, random });
  }

  /** One attempt. A failure goes to the state and is returned; only an abort is thrown. */
  async #attempt(signal: AbortSignal): Promise<SigningFailure | undefined> {
    const { clock, metrics } = this.#deps;
    const startMs = clock.monotonicMs();
    this.#limit.begin(startMs);
    this.#state.attemptStarted();
    using _slow = whenSlow(clock, signal, () => {
      this.#state.isSlow(this.#signer.describeWait?.() ?? "the CA has not responded yet; check that it runs");
    });
    try {
      await this.#renew(signal);
      this.#failuresBefore = 0;
      metrics.signed("ok", clock.monotonicMs() - startMs);
      this.#rejectedSinceMs = undefined;
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      const failed = readFailure(error);
      metrics.signed(failed.failure, clock.monotonicMs() - startMs, failed.statusCode);
      if (failed.failure === "misconfigured") this.#limit.withdraw();
      if (error instanceof ResponseError) this.#request = undefined;
      this.#state.failed(error, "no certificate from the CA; retrying", { failure: failed.failure });
      this.#exitWhenRejected(failed, error);
      return failed;
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { clock, random, budgets } = this.#deps;
    const { key, ttlMs, pkcs8, strictTrustDomain } = this.#config;
    const spiffeId = this.#spiffeId;
    assertCompleteIdentity(this.#config);
    this.#request ??= await orAborted(createKeyAndRequest(key, spiffeId), signal);
    const { privateKey, csrPem } = this.#request;
    const check = (response: SignedChain): CheckedResponse =>
      checkResponse(response, { privateKey, spiffeId, strictTrustDomain, nowMs: clock.now(), maxSkewMs, budgets });
    const current = this.#state.isValid ? this.#state.held.served?.certificate : undefined;
    const {
      leaf,
      chain,
      roots,
      spiffeId: received,
    } = await this.#sign({ csrPem, spiffeId, ttlMs, current }, check, signal);
    signal.throwIfAborted();
    this.#request = undefined;
    this.#requests.renewed();
    this.#random = random();
    const previous = this.#state.held.newest;
    this.#isFirst = previous === undefined;
    this.#reportTrustDomain(previous?.certificate.spiffeId ?? spiffeId, received);
    this.#state.accept({
      certificate: {
        chainPem: chain.map((one) => one.pem).join(""),
        keyPem: renderPrivateKey(privateKey, pkcs8),
        spiffeId: received,
        serial: leaf.x509.serialNumber,
        notBeforeMs: leaf.notBeforeMs,
        notAfterMs: leaf.notAfterMs,
      },
      roots,
      keepRootsMs: leaf.notAfterMs - leaf.notBeforeMs,
      acceptedMs: clock.now(),
    });
  }

  /** @param previous the identity of the certificate before; at first the configured one */
  #reportTrustDomain(previous: string, received: string): void {
    if (previous === received) return;
    const { log, metrics } = this.#deps;
    metrics.trustDomainChanged();
    const facts = { previous, received, configured: this.#config.identity.trustDomain };
    log.warn("the CA issued the certificate in another trust domain; the identity received is used", facts);
  }

  /** The first attempt without a valid certificate is hedged: it does not wait for a CA that hangs. */
  #sign<T>(request: SigningRequest, check: ResponseCheck<T>, signal: AbortSignal): Promise<T> {
    const isFirstAttempt = this.#state.failures === 0 && !this.#state.isValid;
    if (!isFirstAttempt || this.#signer.supportsHedging !== true) return this.#signer.sign(request, check, signal);
    const { clock } = this.#deps;
    let calls = 0;
    const call = (either: AbortSignal): Promise<T> => {
      if (calls++ > 0) this.#limit.begin(clock.monotonicMs());
      return this.#signer.sign(request, check, either);
    };
    return callHedged(call, clock, signal);
  }

  /** Ends the agent when it has no valid certificate to lose and the CA has rejected it for long enough. */
  #exitWhenRejected({ isPermanent }: SigningFailure, error: unknown): void {
    const { clock, fail } = this.#deps;
    if (!isPermanent || this.#state.isValid) {
      this.#rejectedSinceMs = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#rejectedSinceMs ??= nowMs;
    const { refusedExitAfterMs } = this.#config;
    const rejectedMs = nowMs - this.#rejectedSinceMs;
    if (refusedExitAfterMs > 0 && rejectedMs >= refusedExitAfterMs) {
      fail(new CaRejectedError(this.#spiffeId, rejectedMs, error));
    }
  }
}
