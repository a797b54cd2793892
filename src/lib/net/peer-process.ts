// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";

/** Constants of Linux; the same on x86-64 and arm64. Source: asm-generic/socket.h, unix(7) */
const solSocket = 1;
const soPeercred = 17;
/** `struct ucred`: process, user and group. */
const ucredBytes = 12;

type ReadPeer = (fd: number) => number | undefined;

let readPeer: ReadPeer | undefined;

/**
 * The process that made a connection to a Unix socket of this process. The first call loads the system call, which takes
 * about 2 ms.
 * @returns undefined where it cannot be known: the connection is closed, or the runtime cannot call native code
 */
export function peerProcess(socket: Socket): number | undefined {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  const fd = typeof handle === "object" && handle !== null && "fd" in handle ? handle.fd : undefined;
  if (typeof fd !== "number" || fd < 0) return undefined;
  return (readPeer ??= loadReadPeer())(fd);
}

function loadReadPeer(): ReadPeer {
  const ffi = process.platform === "linux" ? process.getBuiltinModule("node:ffi") : undefined;
  if (ffi === undefined) return () => undefined;
  const { functions } = ffi.dlopen(null, {
    getsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "buffer", "buffer"] },
  });
  const credentials = Buffer.alloc(ucredBytes);
  const length = Buffer.alloc(4);
  return (fd) => {
    length.writeUInt32LE(ucredBytes);
    if (functions.getsockopt(fd, solSocket, soPeercred, credentials, length) !== 0) return undefined;
    const pid = credentials.readInt32LE();
    return pid > 0 ? pid : undefined;
  };
}
