// SPDX-License-Identifier: Apache-2.0
import { readStatusPort } from "../config/sources/status-port.ts";
import type { FlagSpecs } from "../lib/flags.ts";
import { formatHostPort, parseHostPort } from "../lib/net/host-port.ts";
import { UsageError } from "./command.ts";

/** The flag of every command that asks a running agent. */
export const addressFlags = {
  address: {
    type: "string",
    default: "",
    meaning: "status port of the agent: PORT, HOST:PORT or URL; if empty, localhost and the configured port",
  },
} as const satisfies FlagSpecs;

/**
 * The base of the agent's URLs.
 * @param address the flag's value
 * @throws UsageError naming the command
 */
export async function agentUrl(command: string, address: string, env: Readonly<Record<string, string>>): Promise<URL> {
  if (address === "") return new URL(`http://localhost:${String(await readStatusPort(env))}`);
  if (/^https?:\/\//.test(address)) {
    if (URL.canParse(address)) return new URL(address);
    throw new UsageError(command, `--address: ${JSON.stringify(address)} is not a URL`);
  }
  const parsed = parseHostPort(/^\d+$/.test(address) ? `localhost:${address}` : address);
  if (typeof parsed === "string") throw new UsageError(command, `--address: ${parsed}`);
  return new URL(`http://${formatHostPort(parsed)}`);
}
