// SPDX-License-Identifier: Apache-2.0
import type { CaptureOptions, DnsCapture, IpFamily, NameServer } from "../../interception/options.ts";
import { describeError } from "../../lib/errors.ts";
import { isLoopbackHost } from "../../lib/net/ip-address.ts";
import { parseHostPort } from "../../lib/net/host-port.ts";
import { shown } from "../config-error.ts";
import type { InterceptionInput } from "./input.ts";
import { globalAddresses, type Machine, parseNameServers, resolvConfPath } from "./machine.ts";

/** Whether the rules are for this namespace now, or only shown, or only removed. */
export type Purpose = "apply" | "show" | "clean";

/** What depends on the network namespace: the families in use and the DNS servers. Problems go to the findings. */
export function parseNetwork(
  input: InterceptionInput,
  machine: Machine,
  purpose: Purpose,
): Pick<CaptureOptions, "families" | "dns"> {
  const dns = dnsCapture(input, machine, purpose);
  const usesIpv6 = hasIpv6(input, machine, purpose) || (hasOnlyIpv6Servers(dns) && canUseIpv6(machine));
  return { families: usesIpv6 ? ["ipv4", "ipv6"] : ["ipv4"], dns };
}

/**
 * IPv6 is in use if the namespace has a global address of it. The reference looks at the first address only, unless it
 * is set otherwise; what is set with `--dual-stack=false` is kept.
 */
function hasIpv6(input: InterceptionInput, machine: Machine, purpose: Purpose): boolean {
  const dualStack = input.bool("dual-stack");
  const addresses = globalAddresses(machine);
  if (addresses.length === 0) {
    const problem = "no interface has an IP address other than loopback and link-local";
    if (purpose === "apply") input.findings.problem("network", `${problem}: it is not known which families to capture`);
    else if (purpose === "show") input.findings.warn("network", `${problem}: shown as on a machine with IPv4`);
    return dualStack === true;
  }
  const isIpv6 = addresses.map((address) => address.includes(":"));
  return dualStack === false ? isIpv6[0] === true : isIpv6.includes(true);
}

/** Where IPv6 is disabled, `lo` has no address of it, and no server of it can be reached. */
function canUseIpv6(machine: Machine): boolean {
  return machine.addresses().some((address) => address.includes(":"));
}

function hasOnlyIpv6Servers(dns: DnsCapture): boolean {
  return dns.kind === "servers" && dns.servers.every(({ family }) => family === "ipv6");
}

function dnsCapture(input: InterceptionInput, machine: Machine, purpose: Purpose): DnsCapture {
  const redirects = input.bool("redirect-dns") ?? false;
  const capturesAll = input.bool("capture-all-dns") ?? false;
  if (purpose === "clean") return { kind: "none" };
  if (!redirects) {
    const { source } = input.setting("capture-all-dns");
    if (capturesAll) input.findings.warn(source, "has no effect without --redirect-dns");
    return { kind: "none" };
  }
  const port = dnsProxyPort(input);
  if (capturesAll) return { kind: "all", port };
  const servers = nameServers(input, machine);
  if (servers === undefined) return { kind: "none" };
  if (servers.length > 0) return { kind: "servers", port, servers };
  const { source } = input.setting("redirect-dns");
  input.findings.warn(source, `${resolvConfPath} has no servers: DNS is not captured; use --capture-all-dns`);
  return { kind: "none" };
}

function nameServers(input: InterceptionInput, machine: Machine): readonly NameServer[] | undefined {
  try {
    return parseNameServers(machine.resolvConf()).map((address): NameServer => {
      const family: IpFamily = address.includes(":") ? "ipv6" : "ipv4";
      return { family, address };
    });
  } catch (error) {
    const { source } = input.setting("redirect-dns");
    const message = `the DNS servers cannot be read: ${describeError(error)}; use --capture-all-dns`;
    input.findings.problem(source, message);
    return undefined;
  }
}

/** Redirected packets arrive on loopback, whatever host the proxy's address has. */
function dnsProxyPort(input: InterceptionInput): number {
  const { text, source } = input.variable("DNS_PROXY_ADDR");
  const hasHost = !text.startsWith(":");
  const address = parseHostPort(hasHost ? text : `localhost${text}`);
  if (typeof address === "string") {
    input.findings.problem(source, `${shown(text)} is not host:port: ${address}`);
    return 0;
  }
  const isReached = isLoopbackHost(address.host) || address.host === "0.0.0.0" || address.host === "::";
  if (!isReached) input.findings.warn(source, `captured queries go to loopback, where ${shown(text)} does not listen`);
  return address.port;
}
