// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { loopbackPeer } from "../lib/async/fair-slots.ts";
import { isLoopbackAddress, isLoopbackHost, plainAddress } from "../lib/net/ip-address.ts";

/** The two ends of a connection. */
type Connection = Partial<Pick<Socket, "remoteAddress" | "localAddress">>;

interface Request {
  readonly headers: IncomingHttpHeaders;
  /** Every value of headers that are given more than once. */
  readonly headersDistinct?: IncomingMessage["headersDistinct"];
  /** The target as on the request line. */
  readonly url?: string | undefined;
  readonly socket: Connection;
}

/**
 * Whether a program in this pod made the request, for routes that change something or show insides: both ends of the
 * connection are on loopback, no proxy forwarded the request, and no browser made it for a page of another site.
 */
export function isLocalCaller(request: Request): boolean {
  const { headers, socket } = request;
  return isLocalConnection(socket) && !isForwarded(headers) && isForLoopback(request) && !isFromOtherSite(headers);
}

/**
 * Whether both ends of a connection are on this pod's loopback. Envoy forwards requests of other pods from 127.0.0.6
 * and ::6, and to the pod's address; neither counts.
 * Source: istio pilot/pkg/networking/core, InboundPassthroughBindIpv4
 */
export function isLocalConnection(socket: Connection): boolean {
  const { remoteAddress } = socket;
  return (
    isLoopbackAddress(remoteAddress) &&
    isLoopbackAddress(socket.localAddress) &&
    plainAddress(remoteAddress) !== "127.0.0.6"
  );
}

/** The peer of a connection, as far as fairness is concerned: an IPv4 address, or an IPv6 network of 64 bits. */
export function peerOf(socket: Connection): string {
  if (isLocalConnection(socket)) return loopbackPeer;
  const address = plainAddress(socket.remoteAddress);
  return address.includes(":") ? address.split(":", 4).join(":") : address;
}

const proxyHeaders: ReadonlySet<string> = new Set(["forwarded", "via"]);

/**
 * Whether a proxy forwarded the request. Envoy adds `X-Forwarded-Proto` to every request, so a caller cannot leave it
 * out.
 */
function isForwarded(headers: Request["headers"]): boolean {
  return Object.keys(headers).some((name) => {
    return name.startsWith("x-forwarded-") || name.startsWith("x-envoy-") || proxyHeaders.has(name);
  });
}

/**
 * Whether every host that the request names is loopback: a page of another site can bypass the browser's same-origin
 * rule with a name of its own that resolves to loopback. A target with a host counts too, and each of several Host
 * headers. Only a program that speaks HTTP/1.0 leaves the host out.
 * Source: RFC 9112 3.2
 */
function isForLoopback({ headers: { host }, headersDistinct, url = "" }: Request): boolean {
  const given = headersDistinct?.["host"] ?? (host === undefined ? [] : [host]);
  const [, authority] = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i.exec(url) ?? [];
  const hosts = authority === undefined ? given : [...given, authority];
  return hosts.every((name) => isLoopbackHost(name.replace(/:\d{1,5}$/, "")));
}

/**
 * Whether a browser made the request for a page of another site. Browsers send `Origin` with every POST, and
 * `Sec-Fetch-Site` where the address is https or localhost.
 * Source: Fetch Standard, Origin header; Fetch Metadata Request Headers
 */
function isFromOtherSite({ host, origin, "sec-fetch-site": site }: Request["headers"]): boolean {
  if (origin !== undefined && origin !== `http://${host ?? ""}`) return true;
  return site !== undefined && site !== "same-origin" && site !== "none";
}
