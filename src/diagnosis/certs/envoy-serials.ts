// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, listOf, objectOf, textOf } from "../../lib/json.ts";
import type { AgentClient } from "../agent-client.ts";

/** The serial numbers of the certificates that Envoy uses, in normal form, each with the first URI of its certificate. */
export type EnvoySerials = ReadonlyMap<string, string>;

/**
 * @returns undefined where the agent does not pass on Envoy's admin interface, or Envoy does not respond
 * Source: envoy.admin.v3.Certificates
 */
export async function readEnvoySerials(agent: AgentClient, signal: AbortSignal): Promise<EnvoySerials | undefined> {
  try {
    const document = await agent.readJson("/debug/envoy/certs", signal);
    const chains = listOf(document["certificates"]).map((entry) => listOf(objectOf(entry)["cert_chain"]));
    return new Map(chains.map(([leaf]) => serialAndUri(objectOf(leaf))));
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

function serialAndUri(leaf: JsonObject): readonly [string, string] {
  const uris = listOf(leaf["subject_alt_names"]).map((name) => textOf(objectOf(name)["uri"]));
  return [normalSerial(textOf(leaf["serial_number"])), uris.find((uri) => uri !== "") ?? ""];
}

/** Envoy prints lower case; neither side prints leading zeros always. */
export function normalSerial(serial: string): string {
  return serial.toLowerCase().replace(/^0+/, "");
}
