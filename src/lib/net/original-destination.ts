// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { formatIp } from "./ip-address.ts";

/** Source: Linux, netinet/in.h, linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h */
const levels = { ipv4: 0, ipv6: 41 } as const;
const soOriginalDst = 80;
/** `struct sockaddr_in6`, the larger of the two. */
const addressBytes = 28;

export interface OriginalDestination {
  readonly address: string;
  readonly port: number;
}

type ReadDestination = (fd: number, family: keyof typeof levels) => OriginalDestination | undefined;

let readDestination: ReadDestination | undefined;

/**
 * Where an accepted connection was sent to before the kernel redirected it. The first call loads the system call, which
 * takes about 2 ms.
 * @returns undefined where it cannot be known: connection tracking has no entry, or the runtime cannot call native code
 */
export function originalDestination(socket: Socket): OriginalDestination | undefined {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  const fd = typeof handle === "object" && handle !== null && "fd" in handle ? handle.fd : undefined;
  if (typeof fd !== "number" || fd < 0) return undefined;
  return (readDestination ??= loadReadDestination())(fd, socket.localFamily === "IPv6" ? "ipv6" : "ipv4");
}

function loadReadDestination(): ReadDestination {
  const ffi = process.platform === "linux" ? process.getBuiltinModule("node:ffi") : undefined;
  if (ffi === undefined) return () => undefined;
  const { functions } = ffi.dlopen(null, {
    getsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "buffer", "buffer"] },
  });
  return (fd, family) => {
    const address = Buffer.alloc(addressBytes);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(addressBytes);
    if (functions.getsockopt(fd, levels[family], soOriginalDst, address, length) !== 0) return undefined;
    const bytes = family === "ipv4" ? address.subarray(4, 8) : address.subarray(8, 24);
    return { port: address.readUInt16BE(2), address: formatIp(bytes) };
  };
}
