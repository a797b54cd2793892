// SPDX-License-Identifier: Apache-2.0

/**
 * Whether a connection's peer is on this pod's loopback. Headers such as X-Forwarded-For are never asked.
 * @param address as the socket tells it: IPv4, IPv6, or IPv4 mapped into IPv6
 */
export function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  if (address === "::1") return true;
  const ipv4 = address.toLowerCase().startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  return /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(ipv4);
}
