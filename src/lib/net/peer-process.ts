// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { readSocketOption } from "./socket-option.ts";

/** Constants of Linux; the same on x86-64 and arm64. Source: asm-generic/socket.h, unix(7) */
const solSocket = 1;
const soPeercred = 17;
/** `struct ucred`: process, user and group. */
const credentials = Buffer.alloc(12);

/**
 * The process at the other end of a connection of a Unix socket: the one that connected, or the one that listens.
 * @returns undefined where it cannot be known: the connection is closed, or the runtime cannot call native code
 */
export function peerProcess(socket: Socket): number | undefined {
  if (!readSocketOption(socket, solSocket, soPeercred, credentials)) return undefined;
  const pid = credentials.readInt32LE();
  return pid > 0 ? pid : undefined;
}
