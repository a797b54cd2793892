// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { runTasks, startTask } from "../lib/tasks.ts";
import type { Secret } from "../model/secret.ts";
import { formatSpiffeId } from "../model/spiffe-id.ts";
import { AttemptPace, retryDelayMs } from "./attempt-pace.ts";
import { AnswerError, type CheckedAnswer, checkAnswer } from "./answer.ts";
import type { CertConfig } from "./cert-config.ts";
import { CaRefusedForGoodError } from "./ca-refused-error.ts";
import type { CertDeps, CertStatus, CertStore } from "./cert-store-face.ts";
import { createKeyAndRequest, type KeyAndRequest, renderPrivateKey } from "./csr.ts";
import { HeldIdentities } from "./held-identities.ts";
import { rotationDelayMs } from "./rotation.ts";
import { type CertificateSigner, type SigningFailure, signingFailure } from "./signer.ts";
import { untilWallClock } from "./wall-clock.ts";

/** What two clocks may differ by before a certificate that begins later is refused rather than held. */
const maxSkewMs = 10 * 60_000;
/** Roots go out this long before a certificate that replaces one in use, so that peers' chains verify first. */
const rootsLeadMs = 500;

/**
 * The one owner of the workload's identity: gets a certificate from the signer, renews it in time whether anybody
 * watches or not, and keeps the one in use through every failure.
 */
export function createCertStore(config: CertConfig, signer: CertificateSigner, deps: CertDeps): CertStore {
  return new SigningStore(config, signer, deps);
}

class SigningStore implements CertStore {
  readonly #config: CertConfig;
  readonly #signer: CertificateSigner;
  readonly #deps: CertDeps;
  readonly #spiffeId: string;
  readonly #held = new HeldIdentities();
  readonly #pace = new AttemptPace();
  readonly #task: AsyncDisposable;
  /** Kept over failed tries, so that a CA that is down costs no keys. */
  #request: KeyAndRequest | undefined;
  /** Drawn once for each certificate, so that planning anew after a clock jump gives the same share of its life. */
  #draw = 0;
  #attempts = 0;
  #failures = 0;
  #lastError: string | undefined;
  #lastSuccessMs: number | undefined;
  #skewMs = 0;
  #nextTryMs: number | undefined;
  #lastDetail: string | undefined;
  /** Since when every try was refused for good. */
  #refusedSinceMs: number | undefined;

  constructor(config: CertConfig, signer: CertificateSigner, deps: CertDeps) {
    this.#config = config;
    this.#signer = signer;
    this.#deps = { ...deps, log: deps.log.scope("cert") };
    this.#spiffeId = formatSpiffeId(config.identity);
    this.#task = startTask(
      (stop) => runTasks(stop, [(signal) => this.#renewLoop(signal), (signal) => this.#keepLoop(signal)]),
      deps.fail,
    );
  }

  watch(name: "default" | "ROOTCA", signal: AbortSignal): AsyncIterable<Secret> {
    return this.#held[name].watch(signal);
  }

  status(): CertStatus {
    const nowMs = this.#deps.clock.now();
    const certificate = this.#held.served?.certificate;
    return {
      state: certificate === undefined ? "none" : this.#held.isValid(nowMs) ? "valid" : "expired",
      spiffeId: this.#spiffeId,
      serial: certificate?.serial,
      notBeforeMs: certificate?.notBeforeMs,
      notAfterMs: certificate?.notAfterMs,
      rotationDueMs: this.#nextTryMs,
      rootsFirstExpiryMs: this.#held.roots.firstExpiryMs,
      attempts: this.#attempts,
      failuresInARow: this.#failures,
      lastError: this.#lastError,
      lastSuccessMs: this.#lastSuccessMs,
      clockSkewMs: this.#skewMs,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#task[Symbol.asyncDispose]();
  }

  /** Tries when a renewal or a repeated try is due, for ever. */
  async #renewLoop(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    let retryAtMs: number | undefined;
    while (!signal.aborted) {
      const paceMs = clock.now() + this.#pace.earliestMs - clock.monotonicMs();
      this.#nextTryMs = Math.max(retryAtMs ?? this.#renewalDueMs(), paceMs);
      if ((await untilWallClock(clock, this.#nextTryMs, signal)) === "jumped") {
        log.warn("the clock was set or the process slept; planning anew", { state: this.status().state });
        this.#failures = 0;
        retryAtMs = undefined;
        continue;
      }
      const failed = await this.#try(signal);
      retryAtMs = failed === undefined ? undefined : clock.now() + this.#retryDelayMs(failed);
    }
  }

  /** Notices what happens by the passing of time alone: a certificate that begins, one that expires. */
  async #keepLoop(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    while (!signal.aborted) {
      this.#refresh();
      await untilWallClock(clock, clock.now() + 1_000, signal);
    }
  }

  #refresh(): void {
    const { clock, hold } = this.#deps;
    const nowMs = clock.now();
    this.#held.refresh(nowMs);
    const detail = this.#held.isValid(nowMs) ? undefined : this.#pendingDetail(nowMs);
    if (detail === this.#lastDetail && this.#held.served !== undefined) return;
    this.#lastDetail = detail;
    if (detail === undefined) hold.release();
    else hold.set(detail);
  }

  #pendingDetail(nowMs: number): string {
    const { served, newest } = this.#held;
    const waiting =
      newest !== undefined && newest.certificate.notBeforeMs > nowMs
        ? `the certificate begins at ${isoTime(newest.certificate.notBeforeMs)}`
        : served === undefined
          ? "waiting for the first certificate"
          : `the certificate expired at ${isoTime(served.certificate.notAfterMs)}`;
    return this.#lastError === undefined ? waiting : `${waiting}; last try: ${this.#lastError}`;
  }

  #renewalDueMs(): number {
    const { newest } = this.#held;
    if (newest === undefined) return Number.NEGATIVE_INFINITY;
    const nowMs = this.#deps.clock.now();
    const { notBeforeMs, notAfterMs } = newest.certificate;
    const acceptedMs = Math.min(newest.acceptedMs, nowMs);
    const startMs = Math.max(notBeforeMs, acceptedMs);
    return acceptedMs + rotationDelayMs({ startMs, notAfterMs }, this.#config.rotation, acceptedMs, this.#draw);
  }

  #retryDelayMs({ retryAfterMs }: SigningFailure): number {
    const urgent = !this.#held.isValid(this.#deps.clock.now());
    return retryDelayMs({ failures: this.#failures, urgent, retryAfterMs, random: this.#deps.random() });
  }

  /** One try. A failure is told here and returned; only an abort is thrown. */
  async #try(signal: AbortSignal): Promise<SigningFailure | undefined> {
    const { clock, log, metrics } = this.#deps;
    const startMs = clock.monotonicMs();
    this.#pace.begin(startMs);
    this.#attempts++;
    try {
      await this.#issue(signal);
      metrics.signed("ok", clock.monotonicMs() - startMs);
      this.#failures = 0;
      this.#lastError = undefined;
      this.#refusedSinceMs = undefined;
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      const failed = signingFailure(error);
      metrics.signed(failed.failure, clock.monotonicMs() - startMs);
      if (error instanceof AnswerError) this.#request = undefined;
      this.#failures++;
      this.#lastError = describeError(error);
      log.warn("no certificate from the CA; trying again", {
        failure: failed.failure,
        error: this.#lastError,
        failuresInARow: this.#failures,
        certificateInUse: this.status().state,
      });
      this.#countRefusal(failed, error);
      return failed;
    } finally {
      this.#refresh();
    }
  }

  /** Gives up when there is nothing to lose and the CA has said no for long enough. */
  #countRefusal({ permanent }: SigningFailure, error: unknown): void {
    const { clock, fail } = this.#deps;
    if (!permanent || this.#held.isValid(clock.now())) {
      this.#refusedSinceMs = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#refusedSinceMs ??= nowMs;
    const { refusedExitAfterMs } = this.#config;
    const refusedMs = nowMs - this.#refusedSinceMs;
    if (refusedExitAfterMs > 0 && refusedMs >= refusedExitAfterMs) {
      fail(new CaRefusedForGoodError(this.#spiffeId, refusedMs, error));
    }
  }

  async #issue(signal: AbortSignal): Promise<void> {
    const { clock, log, random } = this.#deps;
    this.#request ??= await createKeyAndRequest(this.#config.key, this.#spiffeId);
    const { privateKey, csrPem } = this.#request;
    const answer = await this.#signer.sign(csrPem, this.#config.ttlMs, signal);
    signal.throwIfAborted();
    const nowMs = clock.now();
    const checked = checkAnswer(answer, { privateKey, spiffeId: this.#spiffeId, nowMs, maxSkewMs });
    const { leaf } = checked;
    await this.#trustFirst(checked, signal);
    this.#held.add(
      {
        chainPem: checked.chain.map((one) => one.pem).join(""),
        keyPem: renderPrivateKey(privateKey, this.#config.pkcs8),
        spiffeId: this.#spiffeId,
        serial: leaf.x509.serialNumber,
        notBeforeMs: leaf.notBeforeMs,
        notAfterMs: leaf.notAfterMs,
      },
      clock.now(),
    );
    this.#request = undefined;
    this.#draw = random();
    this.#lastSuccessMs = nowMs;
    this.#skewMs = Math.max(0, leaf.notBeforeMs - nowMs);
    log.info("certificate issued", {
      spiffeId: this.#spiffeId,
      serial: leaf.x509.serialNumber,
      notBefore: isoTime(leaf.notBeforeMs),
      notAfter: isoTime(leaf.notAfterMs),
      attempts: this.#failures + 1,
    });
  }

  /** Publishes the answer's roots; where they are new beside a certificate in use, its successor waits for them. */
  async #trustFirst(checked: CheckedAnswer, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    const before = this.#held.roots.rootsPem;
    this.#held.trust(checked, clock.now());
    if (this.#held.served === undefined || before === this.#held.roots.rootsPem) return;
    await clock.delay(rootsLeadMs, signal);
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}
