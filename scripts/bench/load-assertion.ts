// SPDX-License-Identifier: Apache-2.0

/** A suite whose load was less than it says measured nothing: its figures are not shown. */
export class LoadError extends Error {
  constructor(what: string, actual: number, expected: number) {
    super(`the load was not what the suite says: ${what}: ${String(actual)} of ${String(expected)}`);
  }
}

/**
 * Every suite counts at the far end what has arrived of its load: bytes received by Envoy, requests answered, series
 * parsed.
 * @param share how much of it must have arrived; less than 1 where the count is not exact
 * @throws LoadError when less has
 */
export function assertLoad(what: string, actual: number, expected: number, share = 0.95): void {
  if (!(actual >= expected * share)) throw new LoadError(what, actual, expected);
}
