// SPDX-License-Identifier: Apache-2.0
import { orAborted } from "../lib/async/tasks.ts";
import { formatSpiffeId } from "../model/spiffe-id.ts";
import type { ResponseCheck, SignedChain, SigningRequest } from "../model/signing.ts";
import { AnswerError, type CheckedAnswer, checkAnswer, maxSkewMs } from "./answer.ts";
import { assertComplete } from "./complete-identity.ts";
import { AttemptPace, retryDelayMs } from "./attempt-pace.ts";
import { CaRefusedForGoodError } from "./ca-refused-error.ts";
import type { CertConfig } from "./cert-config.ts";
import type { CertDeps } from "./cert-store-face.ts";
import { createKeyAndRequest, type KeyAndRequest, renderPrivateKey } from "./csr.ts";
import { signHedged } from "./hedged-signing.ts";
import type { IdentityBook } from "./identity-book.ts";
import { firstRotationDelayMs, rotationDelayMs } from "./rotation.ts";
import { type CertificateSigner, type SigningFailure, signingFailure } from "./signer.ts";
import { untilWallClock } from "./wall-clock.ts";

/** Gets certificates from a signer, each in time before the last one ends. */
export class Issuing {
  readonly #config: CertConfig;
  readonly #signer: CertificateSigner;
  readonly #book: IdentityBook;
  readonly #deps: CertDeps;
  readonly #spiffeId: string;
  readonly #pace = new AttemptPace();
  /** Kept over failed tries, so that a CA that is down costs no keys. */
  #request: KeyAndRequest | undefined;
  /** Drawn once for each certificate, so that planning anew after a clock jump gives the same share of its life. */
  #draw: number;
  #isFirst = true;
  /** Since when every try was refused for good. Monotonic clock. */
  #refusedSinceMs: number | undefined;

  constructor(config: CertConfig, signer: CertificateSigner, book: IdentityBook, deps: CertDeps) {
    this.#config = config;
    this.#signer = signer;
    this.#book = book;
    this.#deps = deps;
    this.#spiffeId = formatSpiffeId(config.identity);
    this.#draw = deps.random();
  }

  /** Tries when a renewal or a repeated try is due, for ever. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#deps;
    let retryAtMs: number | undefined;
    /** Whose causes may end the wait, once. */
    let failed: SigningFailure | undefined;
    while (!signal.aborted) {
      const paceMs = clock.now() + this.#pace.earliestMs - clock.monotonicMs();
      const dueMs = Math.max(retryAtMs ?? this.#renewalDueMs(), paceMs);
      this.#book.planned(dueMs);
      switch (await this.#untilDue(dueMs, failed, signal)) {
        case "due":
          failed = await this.#try(signal);
          retryAtMs = failed === undefined ? undefined : clock.now() + this.#retryDelayMs(failed);
          break;
        case "jumped":
          log.warn("the clock was set or the process slept; planning anew", { state: this.#book.status().state });
          this.#book.forgetFailures();
          retryAtMs = undefined;
          break;
        case "changed":
          // Once for each failed try; the pace of tries still holds.
          failed = undefined;
          retryAtMs = clock.now();
          break;
      }
    }
  }

  /** @param failed the try whose causes end the wait when they may be gone */
  async #untilDue(
    dueMs: number,
    failed: SigningFailure | undefined,
    signal: AbortSignal,
  ): Promise<"due" | "jumped" | "changed"> {
    const over = new AbortController();
    const both = AbortSignal.any([signal, over.signal]);
    const changes = failed === undefined ? [] : [this.#signer.untilChanged?.(both)];
    if (failed !== undefined && this.#isWatched(failed)) changes.push(this.#signer.untilReachable?.(both));
    const changed = changes.map((change) => change?.then(() => "changed" as const)).filter((one) => one !== undefined);
    try {
      const due = untilWallClock(this.#deps.clock, dueMs, both);
      due.catch(() => undefined);
      return await Promise.race([due, ...changed]);
    } finally {
      over.abort();
      await Promise.allSettled(changed);
      signal.throwIfAborted();
    }
  }

  /** A workload that has nothing must not wait long for a CA that is back; the others come when they come. */
  #isWatched({ isUnconnected }: SigningFailure): boolean {
    return isUnconnected && !this.#book.isValid && this.#signer.untilReachable !== undefined;
  }

  #renewalDueMs(): number {
    const { newest } = this.#book.held;
    if (newest === undefined) return Number.NEGATIVE_INFINITY;
    const { notBeforeMs, notAfterMs } = newest.certificate;
    const acceptedMs = Math.min(newest.acceptedMs, this.#deps.clock.now());
    const validity = { startMs: Math.max(notBeforeMs, acceptedMs), notAfterMs };
    const delayMs = this.#isFirst ? firstRotationDelayMs : rotationDelayMs;
    return acceptedMs + delayMs(validity, this.#config.rotation, acceptedMs, this.#draw);
  }

  #retryDelayMs(failed: SigningFailure): number {
    const { retryAfterMs } = failed;
    const { failures, isValid } = this.#book;
    const random = this.#deps.random();
    return retryDelayMs({ failures, urgent: !isValid, watched: this.#isWatched(failed), retryAfterMs, random });
  }

  /** One try. A failure is told to the book and returned; only an abort is thrown. */
  async #try(signal: AbortSignal): Promise<SigningFailure | undefined> {
    const { clock, metrics } = this.#deps;
    const startMs = clock.monotonicMs();
    this.#pace.begin(startMs);
    this.#book.tryBegins();
    try {
      await this.#issue(signal);
      metrics.signed("ok", clock.monotonicMs() - startMs);
      this.#refusedSinceMs = undefined;
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      const failed = signingFailure(error);
      metrics.signed(failed.failure, clock.monotonicMs() - startMs, failed.statusCode);
      if (error instanceof AnswerError) this.#request = undefined;
      this.#book.failed(error, "no certificate from the CA; trying again", { failure: failed.failure });
      this.#countRefusal(failed, error);
      return failed;
    }
  }

  async #issue(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#deps;
    const { key, ttlMs, pkcs8 } = this.#config;
    const spiffeId = this.#spiffeId;
    assertComplete(this.#config.identity);
    this.#request ??= await orAborted(createKeyAndRequest(key, spiffeId), signal);
    const { privateKey, csrPem } = this.#request;
    const check = (response: SignedChain): CheckedAnswer =>
      checkAnswer(response, { privateKey, spiffeId, nowMs: clock.now(), maxSkewMs });
    const current = this.#book.isValid ? this.#book.held.served?.certificate : undefined;
    const { leaf, chain, roots } = await this.#sign({ csrPem, spiffeId, ttlMs, current }, check, signal);
    signal.throwIfAborted();
    this.#request = undefined;
    this.#draw = random();
    this.#isFirst = this.#book.held.newest === undefined;
    this.#book.accept({
      certificate: {
        chainPem: chain.map((one) => one.pem).join(""),
        keyPem: renderPrivateKey(privateKey, pkcs8),
        spiffeId,
        serial: leaf.x509.serialNumber,
        notBeforeMs: leaf.notBeforeMs,
        notAfterMs: leaf.notAfterMs,
      },
      roots,
      keepRootsMs: leaf.notAfterMs - leaf.notBeforeMs,
      acceptedMs: clock.now(),
    });
  }

  /** The first try of a workload that has nothing does not wait for a CA that hangs. */
  #sign<T>(request: SigningRequest, check: ResponseCheck<T>, signal: AbortSignal): Promise<T> {
    const isFirstTry = this.#book.failures === 0 && !this.#book.isValid;
    if (!isFirstTry || this.#signer.supportsHedging !== true) {
      return this.#signer.sign(request, check, signal);
    }
    const { clock } = this.#deps;
    let calls = 0;
    return signHedged(
      (either) => {
        if (calls++ > 0) this.#pace.begin(clock.monotonicMs());
        return this.#signer.sign(request, check, either);
      },
      clock,
      signal,
    );
  }

  /** Gives up when there is nothing to lose and the CA has said no for long enough. */
  #countRefusal({ isPermanent }: SigningFailure, error: unknown): void {
    const { clock, fail } = this.#deps;
    if (!isPermanent || this.#book.isValid) {
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
}
