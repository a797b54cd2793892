// SPDX-License-Identifier: Apache-2.0
import type { RotationPolicy } from "./cert-config.ts";

export interface Validity {
  /** When the certificate came into use here, or its notBefore where that is later. */
  readonly startMs: number;
  readonly notAfterMs: number;
}

/**
 * How long to wait before a certificate is replaced. The share of its life that should be left is drawn around the
 * policy's ratio, so that a fleet that started together does not renew together.
 * @param nowMs milliseconds since the epoch
 * @param random uniform in [0, 1)
 * @returns milliseconds, never less than the policy's floor and never beyond the certificate's end plus the floor
 * Source: the meaning of `SECRET_GRACE_PERIOD_RATIO` and its jitter as observed with Istio 1.31; the floor is our own
 */
export function rotationDelayMs(validity: Validity, policy: RotationPolicy, nowMs: number, random: number): number {
  const shift = (2 * random - 1) * policy.gracePeriodRatioJitter;
  const ratioLeft = Math.min(1, Math.max(0, policy.gracePeriodRatio + shift));
  const lifeMs = Math.max(0, validity.notAfterMs - validity.startMs);
  const plainMs = validity.notAfterMs - ratioLeft * lifeMs - nowMs;
  const jitterMs = Math.abs(shift) * lifeMs;
  const spreadMs = (2 * random - 1) * Math.max(0, policy.leastSpread * plainMs - jitterMs);
  return Math.max(policy.floorMs, plainMs + spreadMs);
}

/** The earliest moment for the first rotation, as a share of the plain delay. */
const earliestFirst = 0.1;

/**
 * As `rotationDelayMs`, for the first certificate after a start: spread over nearly the whole time until the plain
 * delay, because workloads start together far more often than they renew together. Never later than the plain delay,
 * so that no life is risked for it. Operators who chose the jitter keep theirs.
 */
export function firstRotationDelayMs(
  validity: Validity,
  policy: RotationPolicy,
  nowMs: number,
  random: number,
): number {
  if (policy.leastSpread === 0) return rotationDelayMs(validity, policy, nowMs, random);
  const plain = { ...policy, gracePeriodRatioJitter: 0, leastSpread: 0, floorMs: 0 };
  const share = earliestFirst + (1 - earliestFirst) * random;
  return Math.max(policy.floorMs, share * rotationDelayMs(validity, plain, nowMs, 0.5));
}
