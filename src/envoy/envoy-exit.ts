// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:os";
import { assertNever } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/**
 * How Envoy exited. `requested` marks an exit that this agent caused.
 * `not-run` is a launcher that could not execute Envoy; Envoy's own code never ran.
 */
export type EnvoyExit =
  | { readonly kind: "code"; readonly code: number; readonly requested: boolean }
  | { readonly kind: "signal"; readonly signal: NodeJS.Signals; readonly requested: boolean }
  | { readonly kind: "not-run"; readonly code: number; readonly requested: boolean };

/**
 * The agent's exit code: Envoy's own code, or 128 and the signal's number. After a requested exit it is 0, also when
 * Envoy had no signal handlers yet (observed with Envoy 1.40 in its first 40 ms) or had to be killed; only a crash
 * during the shutdown shows.
 */
export function exitCodeFor(exit: EnvoyExit): number {
  switch (exit.kind) {
    case "code":
      return exit.code;
    case "signal":
      return exit.requested && (exit.signal === "SIGTERM" || exit.signal === "SIGKILL")
        ? exitCode.ok
        : 128 + constants.signals[exit.signal];
    case "not-run":
      return exit.requested ? exitCode.ok : exitCode.unavailable;
    default:
      return assertNever(exit);
  }
}

/** For a message: `exit code 7`, `signal SIGSEGV (11)`. */
export function describeExit(exit: EnvoyExit): string {
  switch (exit.kind) {
    case "code":
      return `exit code ${String(exit.code)}`;
    case "signal":
      return `signal ${exit.signal} (${String(constants.signals[exit.signal])})`;
    case "not-run":
      return "it could not be executed";
    default:
      return assertNever(exit);
  }
}
