// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { HeldIdentity } from "./held-identities.ts";
import type { RotationPolicy } from "./types.ts";

// When the CA is called: the time of a renewal, the delay after a failure, the limit of attempts, and hedged calls.

export interface Validity {
  /** When the certificate was accepted, or its notBefore where that is later. */
  readonly startMs: number;
  readonly notAfterMs: number;
}

/** The earliest moment of the first renewal, as a share of the plain delay. */
const earliestFirstShare = 0.1;
/** The least time between two attempts: at most one a second, as the CA counts them too. */
const minGapMs = 1_050;
/** At most so many attempts in a window, whatever their outcome. */
const maxInWindow = 10;
const windowMs = 61_000;
/** When it is urgent, so many attempts follow each other within `urgentMaxMs`: two seconds with the call. */
const urgentAttempts = 6;
const urgentMaxMs = 1_800;
const patientFirstMs = 4_000;
const patientCeilingMs = 60_000;
/** Failures are urgent for so long before the expiry, or for this share of the lifetime if that is shorter. */
const urgentBeforeMs = patientCeilingMs;
const urgentShare = 0.25;
/**
 * Later in the first minute, and while connections are probed: so slow that the limit always leaves an attempt for when
 * the CA is back.
 */
const laterFloorMs = 10_000;
const laterJitterMs = 5_000;
/** After the first minute: as often as the limit admits. */
const steadyFloorMs = windowMs / maxInWindow;
const steadyJitterMs = 2_000;
/** When, after the first call of an attempt, the same call is made again. */
const hedgeAfterMs = [2_000, 4_000, 7_000];

/**
 * The delay before a certificate is renewed. The share of its lifetime that is left then is random around the policy's
 * ratio, so that a fleet that started together does not renew together.
 * @param nowMs milliseconds since the epoch
 * @param random uniform in [0, 1)
 * @returns milliseconds; at least the policy's floor, and at most until the certificate's expiry plus the floor
 * Source: the meaning of `SECRET_GRACE_PERIOD_RATIO` and its jitter as observed with Istio 1.31; the floor is our own
 */
export function rotationDelayMs(validity: Validity, policy: RotationPolicy, nowMs: number, random: number): number {
  const shift = (2 * random - 1) * policy.gracePeriodRatioJitter;
  const ratioLeft = Math.min(1, Math.max(0, policy.gracePeriodRatio + shift));
  const lifetimeMs = Math.max(0, validity.notAfterMs - validity.startMs);
  const plainMs = validity.notAfterMs - ratioLeft * lifetimeMs - nowMs;
  const jitterMs = Math.abs(shift) * lifetimeMs;
  const spreadMs = (2 * random - 1) * Math.max(0, policy.leastSpread * plainMs - jitterMs);
  return Math.max(policy.floorMs, plainMs + spreadMs);
}

/**
 * As `rotationDelayMs`, for the first certificate after a start: spread over nearly the whole plain delay, because
 * workloads start together far more often than they renew together. Never later than the plain delay, so that the
 * certificate is at no risk. A jitter set by the operator is kept.
 */
export function firstRotationDelayMs(
  validity: Validity,
  policy: RotationPolicy,
  nowMs: number,
  random: number,
): number {
  if (policy.leastSpread === 0) return rotationDelayMs(validity, policy, nowMs, random);
  const plain = { ...policy, gracePeriodRatioJitter: 0, leastSpread: 0, floorMs: 0 };
  const share = earliestFirstShare + (1 - earliestFirstShare) * random;
  return Math.max(policy.floorMs, share * rotationDelayMs(validity, plain, nowMs, 0.5));
}

/**
 * How long a failure is not urgent yet: until shortly before the certificate in use expires.
 * @returns milliseconds; 0 when there is no valid certificate, or it expires soon
 */
export function untilUrgentMs(served: HeldIdentity | undefined, nowMs: number): number {
  if (served === undefined) return 0;
  const { notBeforeMs, notAfterMs } = served.certificate;
  if (notBeforeMs > nowMs) return 0;
  const lifetimeMs = Math.max(0, notAfterMs - Math.max(notBeforeMs, served.acceptedMs));
  return Math.max(0, notAfterMs - Math.min(urgentBeforeMs, urgentShare * lifetimeMs) - nowMs);
}

export interface FailedAttempts {
  /** Failures in a row, at least 1. */
  readonly failures: number;
  /** What `untilUrgentMs` gives. */
  readonly notUrgentMs: number;
  /** Connections to the CA are probed meanwhile, so attempts need not find out that it is back. */
  readonly probed: boolean;
  /** What the CA requested; 0 for nothing. */
  readonly retryAfterMs: number;
  /** Uniform in [0, 1). */
  readonly random: number;
}

/**
 * The delay after a failed attempt, with full jitter above the least gap, or above what the CA requested.
 * @returns milliseconds: one to two seconds for the first urgent attempts, 10 to 15 s later, 6 to 8 s after the tenth; up to a
 * minute with a valid certificate, but not far beyond the moment from which failures are urgent
 */
export function retryDelayMs(attempts: FailedAttempts): number {
  const { failures, notUrgentMs, probed, retryAfterMs, random } = attempts;
  const urgent = notUrgentMs <= 0;
  if (urgent && !probed && failures > maxInWindow)
    return Math.max(steadyFloorMs, retryAfterMs) + random * steadyJitterMs;
  if (probed || (urgent && failures > urgentAttempts)) {
    return Math.max(laterFloorMs, retryAfterMs) + random * laterJitterMs;
  }
  const leastMs = Math.max(minGapMs, retryAfterMs);
  if (urgent) return leastMs + random * (urgentMaxMs - minGapMs);
  const ceilingMs = Math.min(patientCeilingMs, patientFirstMs * 2 ** (Math.min(failures, 16) - 1));
  const delayMs = leastMs + random * (ceilingMs - minGapMs);
  return Math.min(delayMs, Math.max(leastMs, notUrgentMs) + random * urgentMaxMs);
}

/**
 * Limits the attempts, so that no fault makes them a hot loop: one a second, and ten a minute for one cause. A changed
 * cause, such as a new token, begins a new window at once; changes are limited to ten a minute too. Times are of the
 * monotonic clock.
 */
export class AttemptLimit {
  #lastMs = Number.NEGATIVE_INFINITY;
  readonly #attempts = new Window();
  readonly #changes = new Window();

  begin(nowMs: number): void {
    this.#lastMs = nowMs;
    this.#attempts.add(nowMs);
  }

  /** The last attempt failed before it reached the CA, so that only the gap after it counts. */
  withdraw(): void {
    this.#attempts.removeLast();
  }

  /** The cause of the failures has changed. Beyond the limit of changes, the limit of attempts stays. */
  causeChanged(nowMs: number): void {
    if (this.#changes.freeMs > nowMs) return;
    this.#changes.add(nowMs);
    this.#attempts.clear();
  }

  /** The earliest time of the next attempt; may be in the past. */
  get earliestMs(): number {
    return Math.max(this.#lastMs + minGapMs, this.#attempts.freeMs);
  }
}

/** The last starts of something that may happen `maxInWindow` times in `windowMs`. */
class Window {
  #startsMs: readonly number[] = [];

  add(nowMs: number): void {
    this.#startsMs = [...this.#startsMs, nowMs].slice(-maxInWindow);
  }

  removeLast(): void {
    this.#startsMs = this.#startsMs.slice(0, -1);
  }

  clear(): void {
    this.#startsMs = [];
  }

  /** When there is space for another one; may be in the past. */
  get freeMs(): number {
    const first = this.#startsMs.length < maxInWindow ? undefined : this.#startsMs[0];
    return first === undefined ? Number.NEGATIVE_INFINITY : first + windowMs;
  }
}

/**
 * Makes the same call again while the calls before it are pending, and takes the first success: a CA that hung and
 * recovered responds to a new call at once, and perhaps never to an old one.
 * @param call its signal aborts when another call has succeeded
 * @throws the first call's error, when all calls have failed
 */
export async function callHedged<T>(
  call: (signal: AbortSignal) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  const done = new AbortController();
  const either = AbortSignal.any([signal, done.signal]);
  const failures: unknown[] = [];
  let pending = 0;
  return new Promise<T>((resolve, reject) => {
    const start = (): void => {
      pending++;
      call(either).then(resolve, (error: unknown) => {
        failures.push(error);
        // When all have failed, the next call is the next attempt's, after its delay.
        if (--pending === 0) reject(failures[0] instanceof Error ? failures[0] : new Error("the call failed"));
      });
    };
    start();
    for (const afterMs of hedgeAfterMs) {
      clock.delay(afterMs, either).then(
        () => {
          if (pending > 0) start();
        },
        () => undefined,
      );
    }
  }).finally(() => {
    done.abort(new Error("another call succeeded first"));
  });
}

/** A CA that has not responded for so long is reported before the attempt ends. */
const slowMs = 1_000;

/** Calls `report` when something takes long. Disposing ends the wait. */
export function whenSlow(clock: Clock, signal: AbortSignal, report: () => void): Disposable {
  const done = new AbortController();
  clock.delay(slowMs, AbortSignal.any([signal, done.signal])).then(report, () => undefined);
  return {
    [Symbol.dispose]: () => {
      done.abort();
    },
  };
}
