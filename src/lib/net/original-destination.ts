// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { formatIp } from "./ip-address.ts";
import { readSocketOption } from "./socket-option.ts";

/** Source: Linux, netinet/in.h, linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h */
const levels = { ipv4: 0, ipv6: 41 } as const;
const soOriginalDst = 80;
/** `struct sockaddr_in6`, the larger of the two. */
const addressBytes = 28;

export interface OriginalDestination {
  readonly address: string;
  readonly port: number;
}

/**
 * Where an accepted connection was sent to before the kernel redirected it.
 * @returns undefined where it cannot be known: connection tracking has no entry, or the runtime cannot call native code
 */
export function originalDestination(socket: Socket): OriginalDestination | undefined {
  const family = socket.localFamily === "IPv6" ? "ipv6" : "ipv4";
  const address = Buffer.alloc(addressBytes);
  if (!readSocketOption(socket, levels[family], soOriginalDst, address)) return undefined;
  const bytes = family === "ipv4" ? address.subarray(4, 8) : address.subarray(8, 24);
  return { port: address.readUInt16BE(2), address: formatIp(bytes) };
}
