// SPDX-License-Identifier: Apache-2.0

/*
 * Node's own `isIP` compiles a large expression at its first call, which costs milliseconds before Envoy's exec. The
 * tests compare these functions with it.
 */

/** 4 or 6; 0 for a text that is no IP address. */
export function ipFamily(text: string): 0 | 4 | 6 {
  if (!text.includes(":")) return isIpv4(text) ? 4 : 0;
  return parseIpv6(text) === undefined ? 0 : 6;
}

export function isIpv4(text: string): boolean {
  const parts = text.split(".");
  return parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
}

export function isIpv6(text: string): boolean {
  return parseIpv6(text) !== undefined;
}

/**
 * The one spelling of an address: IPv6 in lower case, without leading zeros, the longest run of zeros as `::`, a
 * mapped IPv4 address with dots, and without its zone. Undefined when the text is no address.
 * Source: RFC 5952
 */
export function canonicalIp(text: string): string | undefined {
  if (!text.includes(":")) return isIpv4(text) ? text : undefined;
  const groups = parseIpv6(text);
  return groups === undefined ? undefined : formatGroups(groups);
}

/** An address without the form of IPv4 mapped into IPv6, in lower case. @param address as a socket reports it */
export function plainAddress(address: string | undefined): string {
  const text = (address ?? "").toLowerCase();
  return text.startsWith("::ffff:") ? text.slice("::ffff:".length) : text;
}

/** Whether the peer of a socket is a process of this machine or pod. @param address as a socket reports it */
export function isLoopbackAddress(address: string | undefined): boolean {
  const plain = plainAddress(address);
  return plain === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(plain);
}

/** Whether a host is this machine by its very text: `localhost`, or an address of loopback, with or without brackets. */
export function isLoopbackHost(host: string): boolean {
  if (host.toLowerCase() === "localhost") return true;
  const address = canonicalIp(host.replace(/^\[(.*)\]$/, "$1"))?.replace(/^::ffff:(?=[\d.]+$)/, "");
  return address === "::1" || (address?.startsWith("127.") === true && isIpv4(address));
}

/** The four or sixteen bytes of an address, an IPv6 one without its zone; undefined when the text is no address. */
export function ipBytes(text: string): Uint8Array | undefined {
  if (!text.includes(":")) return isIpv4(text) ? Uint8Array.from(text.split("."), Number) : undefined;
  const groups = parseIpv6(text);
  return groups === undefined ? undefined : Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}

/** The one spelling of an address of four or sixteen bytes. */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  return formatGroups(Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)));
}

function formatGroups(groups: readonly number[]): string {
  const [, , , , , sixth = 0, high = 0, low = 0] = groups;
  if (sixth === 0xffff && groups.slice(0, 5).every((group) => group === 0)) {
    return `::ffff:${[high >> 8, high & 255, low >> 8, low & 255].join(".")}`;
  }
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(":");
  return `${hex.slice(0, run.start).join(":")}::${hex.slice(run.start + run.length).join(":")}`;
}

function longestZeroRun(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** Eight groups of 16 bits; undefined when the text is no IPv6 address. */
function parseIpv6(text: string): readonly number[] | undefined {
  const [address = "", zone, ...rest] = text.split("%");
  if (rest.length > 0 || (zone !== undefined && !/^[0-9a-zA-Z-.:]+$/.test(zone))) return undefined;
  const halves = address.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => parseGroups(half));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  if (halves.length === 1) return head.length === 8 ? head : undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  return missing < 1 || endsInIpv4(halves[0] ?? "") ? undefined : [...head, ...zeros(missing), ...(tail ?? [])];
}

function zeros(count: number): readonly number[] {
  return Array.from({ length: count }, () => 0);
}

function endsInIpv4(text: string): boolean {
  return text.includes(".");
}

/** The last group may be an IPv4 address. */
function parseGroups(text: string): readonly number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (index === parts.length - 1 && isIpv4(part)) {
      const [a = 0, b = 0, c = 0, d = 0] = part.split(".").map(Number);
      groups.push((a << 8) | b, (c << 8) | d);
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}
