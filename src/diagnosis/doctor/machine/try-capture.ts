// SPDX-License-Identifier: Apache-2.0
import { readListeningSockets } from "../../../lib/net/socket-table.ts";
import { tryLocalConnection } from "./local-connection.ts";
import type { Machine } from "./machine.ts";
import { inboundPort } from "./own-ports.ts";

/** The source of Envoy's connections to the application: what Envoy's user sends there over `lo` is inbound. */
const passthrough = "127.0.0.6";
/** Where nothing of Istio listens. */
const probePort = 15_002;

/**
 * Makes a connection within this machine that the rules redirect to Envoy's inbound port, and that is refused without
 * them. This needs no capability, but Envoy's user.
 * @returns undefined where that says nothing: another user, or nothing listens on the inbound port
 */
export async function tryCapture({ envoyUser }: Machine): Promise<boolean | undefined> {
  if (envoyUser.uid !== process.geteuid?.()) return undefined;
  const ports = new Set((await readListeningSockets())?.map(({ port }) => port));
  if (!ports.has(inboundPort) || ports.has(probePort)) return undefined;
  const result = await tryLocalConnection(passthrough, probePort);
  return result === "unknown" ? undefined : result === "accepted";
}
