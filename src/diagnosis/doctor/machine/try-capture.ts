// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { readListeningSockets } from "../../../lib/net/socket-table.ts";
import type { Machine } from "./machine.ts";
import { inboundPort } from "./own-ports.ts";

/** The source of Envoy's connections to the application: what Envoy's user sends there over `lo` is inbound. */
const passthrough = "127.0.0.6";
/** Where nothing of Istio listens. */
const probePort = 15_002;
const timeoutMs = 500;

/**
 * Makes a connection within this machine that the rules redirect to Envoy's inbound port, and that is refused without
 * them. This needs no capability, but Envoy's user.
 * @returns undefined where that says nothing: another user, or nothing listens on the inbound port
 */
export async function tryCapture({ envoyUser }: Machine): Promise<boolean | undefined> {
  if (envoyUser.uid !== process.geteuid?.()) return undefined;
  const ports = new Set((await readListeningSockets())?.map(({ port }) => port));
  if (!ports.has(inboundPort) || ports.has(probePort)) return undefined;
  return await new Promise((resolve) => {
    const socket = connect({ host: passthrough, port: probePort, timeout: timeoutMs });
    const end = (result: boolean | undefined): void => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(undefined));
    socket.once("error", (error) => end("code" in error && error.code === "ECONNREFUSED" ? false : undefined));
  });
}
