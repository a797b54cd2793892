// SPDX-License-Identifier: Apache-2.0
import { canonicalIp, isIpv4, isIpv6 } from "../../lib/net/ip-address.ts";
import type { Findings } from "../config-error.ts";
import type { NetworkInterface } from "../sources/config-input.ts";

export interface NodeIpsInput {
  /** `INSTANCE_IP`. */
  readonly instanceIp: string;
  readonly interfaces: readonly NetworkInterface[];
  /** The names in the annotation, not trimmed. */
  readonly excludedInterfaces: readonly string[];
}

/**
 * The node's addresses: `INSTANCE_IP` first, then those of the interfaces that others can reach. Never empty.
 * Source: the rules of Istio's agent for `INSTANCE_IPS`, observed
 */
export function nodeIps(input: NodeIpsInput, findings: Findings): readonly string[] {
  const given = canonicalIp(input.instanceIp);
  if (input.instanceIp !== "" && given === undefined) {
    findings.warn("INSTANCE_IP", `${JSON.stringify(input.instanceIp)} is not one IP address; it is ignored`);
  }
  const known = new Set(input.interfaces.map(({ name }) => name));
  const excluded = new Set(input.excludedInterfaces.map((name) => name.trim()).filter((name) => name !== ""));
  for (const name of excluded) {
    if (!known.has(name))
      findings.warn("annotation traffic.sidecar.istio.io/excludeInterfaces", `there is no interface ${name}`);
  }
  const reachable = (name: string, addresses: readonly string[]): readonly { name: string; ip: string }[] =>
    addresses.map((address) => ({ name, ip: unmapped(address) })).filter(({ ip }) => isReachable(ip));
  const scanned = input.interfaces
    .filter(({ loopback }) => !loopback)
    .flatMap(({ name, addresses }) => reachable(name, addresses));
  const kept = scanned.filter(({ name }) => !excluded.has(name)).map(({ ip }) => ip);
  if (given === undefined && kept.length === 0) {
    findings.warn(
      "INSTANCE_IP",
      "is not set, and no network interface has an address that others can reach; the node has the addresses 127.0.0.1 and ::1 only",
    );
  }
  const local = scanned.length === 0 ? ["127.0.0.1", "::1"] : [];
  const ips = [...new Set([...(given === undefined ? [] : [given]), ...kept, ...local])];
  return ips.length === 0 ? ["127.0.0.1", "::1"] : ips;
}

function unmapped(address: string): string {
  const ip = canonicalIp(address) ?? address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(ip);
  return mapped?.[1] ?? ip;
}

/** Neither loopback, nor link-local, nor unspecified. */
function isReachable(ip: string): boolean {
  if (isIpv4(ip)) return !/^(127\.|169\.254\.|224\.0\.0\.|0\.0\.0\.0$)/.test(ip);
  return isIpv6(ip) && ip !== "::1" && ip !== "::" && !/^fe[89ab]|^ff[0-9a-f]2:/i.test(ip);
}
