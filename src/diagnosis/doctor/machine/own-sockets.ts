// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect } from "node:net";
import { resolve } from "node:path";
import type { ConfigInput } from "../../../config/index.ts";
import { peerProcess } from "../../../lib/net/peer-process.ts";
import { isAgent, readProcess } from "./processes.ts";
import { readSocketHolder } from "./unix-sockets.ts";

/**
 * The system's facts as an agent sees them that starts: without the sockets that an agent serves which runs already. To
 * the configuration, they would be those of another process.
 */
export async function withoutOwnSockets(system: ConfigInput["system"]): Promise<ConfigInput["system"]> {
  const served = await Promise.all(
    [...system.servedSockets].map(async (path) =>
      (await isServedByAgent(resolve(system.directory, path))) ? [] : [path],
    ),
  );
  return { ...system, servedSockets: new Set(served.flat()) };
}

/** Whoever may connect to the socket learns the server's process; its files show it only to the same user. */
async function isServedByAgent(path: string): Promise<boolean> {
  const pid = (await readServer(path)) ?? (await readSocketHolder(path))?.pid;
  const facts = pid === undefined ? undefined : await readProcess(pid);
  return facts !== undefined && isAgent(facts);
}

const connectMs = 500;

/** The process that listens at a path; undefined where it does not accept, or where the runtime cannot tell. */
async function readServer(path: string): Promise<number | undefined> {
  const socket = connect(path);
  socket.setTimeout(connectMs, () => socket.destroy(new Error("no connection in time")));
  try {
    await once(socket, "connect");
    return peerProcess(socket);
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}
