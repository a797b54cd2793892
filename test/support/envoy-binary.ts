// SPDX-License-Identifier: Apache-2.0

/**
 * The real Envoy that the tests run. `npm test` sets the variable; to run a test by hand, set it to an Envoy binary.
 * @throws when there is none: a missing Envoy is a failure, not a skip
 */
export function envoyBinary(): string {
  const path = process.env["ENVOY_PATH"];
  if (path === undefined)
    throw new Error("ENVOY_PATH is not set; run the tests by npm test, or set it to an Envoy binary");
  return path;
}
