// SPDX-License-Identifier: Apache-2.0
import type { HostPort } from "../lib/net/host-port.ts";
import { ipFamily, isIpv6 } from "../lib/net/ip-address.ts";

/** An address of the form `host:port`; IPv6 in brackets. The text of a problem instead, when it is none. */
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

/** A DNS name: labels of at most 63 letters, digits and hyphens; the last one not all digits. */
export function isHostname(text: string): boolean {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name === "" || name.length > 255) return false;
  const labels = name.split(".");
  return (
    labels.every((label) => /^[a-zA-Z0-9]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? "")
  );
}

/** Whether an address may stand in ProxyConfig: also one whose host is `$(HOST_IP)`. */
export function hostPortProblem(text: string): string | undefined {
  const result = parseHostPort(text.replace("$(HOST_IP)", "host-ip"));
  return typeof result === "string" ? result : undefined;
}

/** A checked address, with `$(HOST_IP)` replaced by the node's IP where that is known. */
export function resolveHostPort(text: string, hostIp: string): HostPort | undefined {
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  const port = Number(text.slice(colon + 1));
  if (colon < 0 || !Number.isInteger(port)) return undefined;
  return { host: host === "$(HOST_IP)" && hostIp !== "" ? hostIp : host, port };
}
