// SPDX-License-Identifier: Apache-2.0
import type { Cidr, PortRange } from "../../interception/options.ts";
import { canonicalIp, ipFamily } from "../../lib/net/ip-address.ts";

/*
 * The values of flags and variables of `istio-iptables`. Each parser returns the value, or the text of the problem,
 * which follows the value in a message: `"70000" is not a port: ...`.
 */

const largestPort = 65_535;
/** Of users, groups, marks and routing tables. */
const largestNumber = 4_294_967_295;
/** IFNAMSIZ without the final zero. */
const longestInterface = 15;

/** A comma-separated list; space around an item, and empty items, do not count. */
export function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** A port that something listens on. */
export function parsePort(text: string): number | string {
  const port = parseNumber(text, largestPort);
  return port === undefined || port === 0 ? "is not a port: 1 to 65535" : port;
}

/** `80`, or `8000:8010` as iptables has it. */
export function parsePortRange(text: string): PortRange | string {
  const [first, last, ...rest] = text.split(/[:-]/).map((part) => parseNumber(part, largestPort));
  if (first === undefined || rest.length > 0 || (last === undefined && /[:-]/.test(text)))
    return "is not a port (0 to 65535) or a range of ports (8000:8010)";
  if (last !== undefined && last < first) return "is a range of ports whose end is below its start";
  return { first, last: last ?? first };
}

/** An address range with its length; bits behind the prefix are kept. */
export function parseCidr(text: string): Cidr | string {
  const [address = "", length, ...rest] = text.split("/");
  const family = ipFamily(address);
  if (family === 0 || rest.length > 0 || address.includes("%")) return "is not an address range (10.0.0.0/8, fd00::/8)";
  const most = family === 4 ? 32 : 128;
  if (length === undefined) return `has no length; a single address is ${text}/${String(most)}`;
  const bits = parseNumber(length, most);
  if (bits === undefined) return `has a length that is not a number from 0 to ${String(most)}`;
  return { family: family === 4 ? "ipv4" : "ipv6", text: `${canonicalIp(address) ?? address}/${String(bits)}` };
}

/** A uid or gid. The largest number means "none" to the kernel. */
export function parseId(text: string): number | undefined {
  return parseNumber(text, largestNumber - 1);
}

/** A mark of packets, decimal or hexadecimal. */
export function parseMark(text: string): number | string {
  const mark = /^0[xX][0-9a-fA-F]{1,8}$/.test(text) ? Number.parseInt(text, 16) : parseNumber(text, largestNumber);
  return mark === undefined || mark === 0
    ? `is not a mark: 1 to ${String(largestNumber)}, or hexadecimal (0x539)`
    : mark;
}

/** Names of routing tables that the kernel has itself: default, main, local. */
const reservedTables: ReadonlySet<number> = new Set([0, 253, 254, 255]);

export function parseRouteTable(text: string): number | string {
  const table = parseNumber(text, largestNumber);
  if (table === undefined) return `is not the number of a routing table: 1 to ${String(largestNumber)}`;
  return reservedTables.has(table) ? "is a routing table of the system; use another number" : table;
}

/** The name of a network interface. With a final `+` it stands for all that begin so. */
export function parseInterface(text: string): string | { readonly problem: string } {
  if (text.length > longestInterface) return { problem: `is longer than ${String(longestInterface)} characters` };
  return /^[A-Za-z0-9_.][A-Za-z0-9_.@=-]*\+?$/.test(text) && text !== "." && text !== ".."
    ? text
    : { problem: "is not the name of an interface (eth0, or eth+ for all that begin so)" };
}

/** Without leading zeros: iptables reads such a number as octal. */
function parseNumber(text: string, most: number): number | undefined {
  if (!/^(?:0|[1-9]\d{0,9})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= most ? value : undefined;
}
