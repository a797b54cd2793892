// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";

type GetSocketOption = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;

/** Undefined until the first use; null where the runtime cannot call native code. */
let getSocketOption: GetSocketOption | null | undefined;
const length = Buffer.alloc(4);

/**
 * Reads an option of a socket. The first call loads the system call, which takes about 2 ms.
 * @param value filled with the option
 * @returns false where it cannot be read: the socket is closed, the option does not apply, or the runtime cannot call
 * native code
 * Source: getsockopt(2)
 */
export function readSocketOption(socket: Socket, level: number, option: number, value: Buffer): boolean {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  const fd = typeof handle === "object" && handle !== null && "fd" in handle ? handle.fd : undefined;
  if (typeof fd !== "number" || fd < 0) return false;
  getSocketOption ??= loadGetSocketOption() ?? null;
  length.writeUInt32LE(value.length);
  return getSocketOption?.(fd, level, option, value, length) === 0;
}

function loadGetSocketOption(): GetSocketOption | undefined {
  const ffi = process.platform === "linux" ? process.getBuiltinModule("node:ffi") : undefined;
  return ffi?.dlopen(null, {
    getsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "buffer", "buffer"] },
  }).functions.getsockopt;
}
