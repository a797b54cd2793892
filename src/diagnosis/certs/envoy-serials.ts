// SPDX-License-Identifier: Apache-2.0
import { listOf, objectOf, textOf } from "../../lib/json.ts";
import type { AgentClient } from "../agent-client.ts";

/**
 * The serial numbers of the certificates that Envoy uses, in normal form.
 * @returns undefined where the agent does not pass on Envoy's admin interface, or Envoy does not respond
 * Source: envoy.admin.v3.Certificates
 */
export async function readEnvoySerials(
  agent: AgentClient,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | undefined> {
  try {
    const document = await agent.readJson("/debug/envoy/certs", signal);
    const chains = listOf(document["certificates"]).map((entry) => listOf(objectOf(entry)["cert_chain"]));
    return new Set(chains.map(([leaf]) => normalSerial(textOf(objectOf(leaf)["serial_number"]))));
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** Envoy prints lower case; neither side prints leading zeros always. */
export function normalSerial(serial: string): string {
  return serial.toLowerCase().replace(/^0+/, "");
}
