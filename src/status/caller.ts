// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";

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

/**
 * Whether a browser says that a page of another site made the request. A page from anywhere can make the browser of a
 * developer ask this machine's loopback.
 * Source: Fetch Metadata Request Headers, Sec-Fetch-Site; only browsers send it
 */
export function isFromOtherSite({ headers }: Pick<IncomingMessage, "headers">): boolean {
  const site = headers["sec-fetch-site"];
  return site !== undefined && site !== "same-origin" && site !== "none";
}

/**
 * Whether the Host names loopback. A name of another site that resolves to loopback is how its pages would get around
 * the browser's same-origin rule.
 */
export function hostIsLoopback(host: string | undefined): boolean {
  const name = (host ?? "").replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
  return name === "localhost" || isLoopback(name);
}
