// SPDX-License-Identifier: Apache-2.0
import { ipFamily, isIpv6 } from "./ip-address.ts";

/** A host and a port. IPv6 without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** As in a URL: IPv6 in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(":") ? `[${host}]` : host}:${String(port)}`;
}

/**
 * Parses `host:port`; IPv6 in brackets, ports 1 to 65535.
 * @returns the text of the problem when it is not one
 */
export function parseHostPort(text: string): HostPort | string {
  const match = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(text);
  if (match === null) {
    return text.includes(":")
      ? `unable to split ${JSON.stringify(text)}: address ${text}: too many colons in address; IPv6 needs brackets`
      : `unable to split ${JSON.stringify(text)}: address ${text}: missing port in address`;
  }
  const [, bracketed, bare, portText = ""] = match;
  const host = bracketed ?? bare ?? "";
  if (!/^\d+$/.test(portText)) return `port (${portText}) is not a number`;
  const port = Number(portText);
  if (port < 1 || port > 65_535) return `port number ${portText} must be in the range 1..65535`;
  if (bracketed !== undefined ? isIpv6(host) : ipFamily(host) !== 0 || isHostname(host)) return { host, port };
  return `${JSON.stringify(host)} is not a valid hostname or an IP address`;
}

/** A DNS name: labels of at most 63 letters, digits and hyphens; the last one is not all digits. */
export function isHostname(text: string): boolean {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name === "" || name.length > 255) return false;
  const labels = name.split(".");
  return (
    labels.every((label) => /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? "")
  );
}
