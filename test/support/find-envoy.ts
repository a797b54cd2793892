// SPDX-License-Identifier: Apache-2.0
import { findEnvoy } from "../../scripts/envoy.mjs";

/** Before the first test: names the Envoy that the tests run, for test/support/envoy-binary.ts. */
export default async function setup(): Promise<void> {
  const found = await findEnvoy();
  if (found.path === undefined) return;
  process.env["ENVOY_PATH"] = found.path;
}
