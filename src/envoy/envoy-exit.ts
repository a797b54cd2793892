// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:os";
import { assertNever } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/**
 * How Envoy ended. `asked` tells the end that this agent brought about from one that came by itself.
 * `not-run` is a launcher that found nothing it could execute; Envoy's code never ran.
 */
export type EnvoyExit =
  | { readonly kind: "code"; readonly code: number; readonly asked: boolean }
  | { readonly kind: "signal"; readonly signal: NodeJS.Signals; readonly asked: boolean }
  | { readonly kind: "not-run"; readonly code: number; readonly asked: boolean };

/**
 * The agent's exit code for an end of Envoy: Envoy's own code, or 128 and the signal's number. An end that was asked
 * for is 0, also when Envoy was still without its signal handlers (observed with Envoy 1.40 in its first 40 ms) or had
 * to be killed; only a crash on the way down shows.
 */
export function exitCodeFor(exit: EnvoyExit): number {
  switch (exit.kind) {
    case "code":
      return exit.code;
    case "signal":
      return exit.asked && (exit.signal === "SIGTERM" || exit.signal === "SIGKILL")
        ? exitCode.ok
        : 128 + signalNumber(exit.signal);
    case "not-run":
      return exit.asked ? exitCode.ok : exitCode.unavailable;
    default:
      return assertNever(exit);
  }
}

/** What ended Envoy, for a message: `exit code 7`, `signal SIGSEGV (11)`. */
export function describeExit(exit: EnvoyExit): string {
  switch (exit.kind) {
    case "code":
      return `exit code ${String(exit.code)}`;
    case "signal":
      return `signal ${exit.signal} (${String(signalNumber(exit.signal))})`;
    case "not-run":
      return "it could not be executed";
    default:
      return assertNever(exit);
  }
}

function signalNumber(signal: NodeJS.Signals): number {
  return constants.signals[signal];
}
