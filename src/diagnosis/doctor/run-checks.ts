// SPDX-License-Identifier: Apache-2.0
import { type Clock, DeadlineError, deadline } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { describeError } from "../../lib/errors.ts";
import { type Check, type DoctorContext, type Finding, warn } from "./check.ts";

/** Checks that wait stop at this time, and say what they waited for. */
const waitMs = 3_500;
/** A check that has not come to an end by then is given up. */
const giveUpMs = 4_200;

/** The time limits of a diagnosis; they start now. */
export interface TimeLimits extends Disposable {
  /** Aborts when checks must stop to wait. */
  readonly waits: AbortSignal;
  /** Aborts when checks are given up. */
  readonly end: AbortSignal;
}

export function limitTime(clock: Clock, stop: AbortSignal): TimeLimits {
  const waits = deadline(clock, waitMs, stop);
  const end = deadline(clock, giveUpMs, stop);
  return {
    waits: waits.signal,
    end: end.signal,
    [Symbol.dispose]() {
      waits[Symbol.dispose]();
      end[Symbol.dispose]();
    },
  };
}

/** Runs checks at the same time. @returns their findings in the order of the checks; never rejects */
export async function runChecks(
  checks: readonly Check[],
  context: DoctorContext,
  end: AbortSignal,
): Promise<readonly Finding[]> {
  const found = await Promise.all(checks.map((check) => runCheck(check, context, end)));
  return found.flat();
}

async function runCheck(check: Check, context: DoctorContext, end: AbortSignal): Promise<readonly Finding[]> {
  try {
    return await orAborted(check.run(context), end);
  } catch (error) {
    const fact =
      error instanceof DeadlineError && end.aborted
        ? `the check did not end within ${String(giveUpMs / 1_000)} s`
        : `the check itself failed: ${describeError(error)}`;
    return [warn(check.name, fact, "Run it again; if it stays, report it as a fault of attache.")];
  }
}
