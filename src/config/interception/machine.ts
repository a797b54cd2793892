// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { canonicalIp, ipFamily, isLoopbackAddress } from "../../lib/net/ip-address.ts";

/** What the rules depend on besides flags and variables. Files are read only if they are needed; reading may throw. */
export interface Machine {
  /** The addresses of the network namespace, in the order of its interfaces. */
  readonly addresses: () => readonly string[];
  /** The text of /etc/resolv.conf, /etc/passwd and /etc/group. */
  readonly resolvConf: () => string;
  readonly users: () => string;
  readonly groups: () => string;
}

export const resolvConfPath = "/etc/resolv.conf";
export const groupsPath = "/etc/group";
export const usersPath = "/etc/passwd";

export function readMachine(): Machine {
  return {
    addresses: () =>
      Object.values(networkInterfaces()).flatMap((interfaces) => (interfaces ?? []).map(({ address }) => address)),
    resolvConf: () => readFileSync(resolvConfPath, "utf8"),
    users: () => readFileSync(usersPath, "utf8"),
    groups: () => readFileSync(groupsPath, "utf8"),
  };
}

/** The addresses that others can reach: neither loopback nor link-local. */
export function globalAddresses(machine: Machine): readonly string[] {
  return machine.addresses().filter((address) => !isLoopbackAddress(address) && !isLinkLocal(address));
}

/** The servers of a resolv.conf, without zones. Lines that are no server's address are left out. */
export function parseNameServers(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => {
    const [keyword, address = ""] = line.trim().split(/\s+/);
    const server = ipFamily(address) === 0 ? undefined : canonicalIp(address);
    return keyword === "nameserver" && server !== undefined ? [server] : [];
  });
}

/** The number of a user or group in the text of /etc/passwd or /etc/group; undefined if it has none of that name. */
export function findId(text: string, name: string): number | undefined {
  for (const line of text.split("\n")) {
    const [found, , id = ""] = line.split(":");
    if (found === name && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}

function isLinkLocal(address: string): boolean {
  return address.startsWith("169.254.") || /^fe[89ab]/i.test(address);
}
