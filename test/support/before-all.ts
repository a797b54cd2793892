// SPDX-License-Identifier: Apache-2.0
import { findEnvoy } from "../../scripts/envoy.mjs";
import { claimPorts } from "./free-ports.ts";

/** Before the first test: names the Envoy that the tests run, and takes ports for them. Returns what gives them back. */
export default async function setup(): Promise<() => Promise<void>> {
  const found = await findEnvoy();
  if (found.path !== undefined) process.env["ENVOY_PATH"] = found.path;
  const ports = await claimPorts();
  return async () => {
    await ports[Symbol.asyncDispose]();
  };
}
